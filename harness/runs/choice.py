"""From what a user asks for to a run that can start: everything is checked before anything is
spent.

The fields of a choice are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import UsageError
from build_engine.store.engine import open_engine
from build_engine.target import load_target
from harness.dataset.sources.source import Source
from harness.dataset.unseen import Evaluated
from harness.loadgen.settings import Mode
from harness.runs.asking import MODES, Asked, AskedModel, Asking
from harness.runs.engine_choice import EngineChoice, build_spec
from harness.runs.replication import Replication, Settled, is_on_gpu
from harness.runs.request import RunRequest
from harness.streams import shell_word
from runtime.backend import backend, engine_spec, require_executable

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.store.engine import Engine
    from build_engine.store.limits import EngineLimits
    from harness.dataset.prepared import Dataset
    from harness.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice(Asking):
    """How an engine is run, as a user names it."""

    replicas: str | None = None
    """Copies of the engine that share the requests, one on each GPU, or each on cores of its own;
    `auto` is one for every GPU, or every machine of a CPU cluster. Needs enginebench[ray].
    """
    ray_address: str | None = None
    """A Ray cluster over whose machines the replicas are spread: HOST:PORT of its head, or `auto`
    for the one that this machine is a part of. Without it they are on this machine.
    """
    cores_per_replica: int | None = None
    """Physical cores of each replica on the CPU target; an equal share of each machine's when left
    out.
    """
    tolerate_failures: bool = False
    """Go on when a replica is lost, with a mark on the run: its requests go to the others."""

    def request(self, chosen: EngineChoice, progress: Progress) -> RunRequest:
        """The run of the chosen engine, which is found or built, on its prepared dataset.

        Raises UsageErrors and EnvironmentFaults, all before a LoadGen test begins.
        """
        asked = self._checked(chosen.workload_settings)
        self.check_place()
        if chosen.emulate:
            _require_accuracy(asked.modes)
        target = load_target(chosen.target)
        require_executable(target.backend, chosen.tensor_parallel or 1)
        chosen.require_here()
        replicas = self._settled(on_gpu=target.kind == "gpu" and not chosen.emulate)
        source = Source.for_workload(self.dataset, asked.workload, progress)
        spec = chosen.spec(asked.workload, progress, Evaluated(source, self.count))
        # the dataset before the engine: its mistakes are found in seconds, a build takes minutes
        model = _model(spec.checkpoint.folder, spec.limits, spec.checkpoint.config)
        dataset = self.dataset_for(asked, source, model, progress)
        engine = build_spec(spec, progress)
        return self._request(asked, dataset, engine, replicas, chosen.workload_settings)

    def request_for(self, engine: Engine, progress: Progress) -> RunRequest:
        """The run of an engine that is there, on its prepared dataset.

        Raises EngineError when its files are not as they were built, and what `request` raises.
        """
        asked = self._checked_for(engine, ())
        self.check_place()
        engine = _opened(engine)
        replicas = self._settled(on_gpu=is_on_gpu(engine))
        return self._request(asked, self.prepared(engine, (), progress), engine, replicas)

    def prepared(self, engine: Engine, settings: tuple[str, ...], progress: Progress) -> Dataset:
        """The dataset for runs of an engine that is there; `settings` change the workload. Raises
        what `request` raises.
        """
        asked = self._checked_for(engine, settings)
        source = Source.for_workload(self.dataset, asked.workload, progress)
        model = _model(engine.folder, engine.limits, engine.manifest.model.config)
        return self.dataset_for(asked, source, model, progress)

    def request_on(
        self, engine: Engine, dataset: Dataset, settings: tuple[str, ...] = ()
    ) -> RunRequest:
        """The run of an engine that is there on a dataset that was `prepared` for it. Raises
        EngineError when its files are not as they were built.
        """
        asked = self._checked_for(engine, settings)
        replicas = self._settled(on_gpu=is_on_gpu(engine))
        return self._request(asked, dataset, _opened(engine), replicas, settings)

    def evaluated(self, settings: tuple[str, ...], progress: Progress) -> Evaluated:
        """What is asked of an engine. Raises what `request` would, as far as it is known without
        one.
        """
        asked = self._checked(settings)
        return Evaluated(Source.for_workload(self.dataset, asked.workload, progress), self.count)

    def command(self, engine: Engine, workload_settings: Sequence[str] = ()) -> str:
        """The command that makes this run, and the engine where it is not there."""
        return self.command_of(engine.options(), workload_settings)

    def command_of(self, engine: Sequence[str], workload_settings: Sequence[str]) -> str:
        """The same by the words that name the engine."""
        options = {
            **self.options,
            "--replicas": self.replicas,
            "--ray-address": self.ray_address,
            "--cores-per-replica": self.cores_per_replica,
        }
        words = ["enginebench", "run", *engine]
        if "--workload" in words:  # in whose prompt a calibrated engine's articles were put
            at = words.index("--workload")
            del words[at : at + 2]
        for setting in workload_settings:
            words += ["--set", f"workload.{setting}"]
        for option, value in options.items():
            words += [] if value is None else [option, str(value)]
        words += ["--tolerate-failures"] if self.tolerate_failures else []
        return " ".join(map(shell_word, words))

    def _checked(self, workload_settings: tuple[str, ...]) -> Asked:
        """The things behind the names, and whether they go together."""
        asked = self.asked(workload_settings)
        self._replication()
        return asked

    def _replication(self) -> Replication | None:
        return Replication.of(
            self.replicas, self.ray_address, self.cores_per_replica, self.tolerate_failures
        )

    def _settled(self, *, on_gpu: bool) -> Settled | None:
        """The replicas, which have a place; None for one engine without Ray."""
        replication = self._replication()
        return None if replication is None else replication.settled(on_gpu=on_gpu)

    def _checked_for(self, engine: Engine, settings: tuple[str, ...]) -> Asked:
        """The same for an engine that is there."""
        asked = self._checked(settings)
        require_executable(engine.backend, engine.limits.tensor_parallel)
        if not backend(engine.backend).measured:
            _require_accuracy(asked.modes)
        return asked

    def _request(
        self,
        asked: Asked,
        dataset: Dataset,
        engine: Engine,
        replicas: Settled | None,
        settings: Sequence[str] = (),
    ) -> RunRequest:
        spec = engine_spec(engine)
        return RunRequest(
            scope=self.scope(asked, dataset),
            modes=asked.modes,
            dataset=dataset,
            engine=engine,
            executor=spec if replicas is None else replicas.of_engine(engine, spec),
            folder=self.folder(engine.recipe, asked.scenario),
            repeat=self.repeat,
            command=self.command(engine, settings),
        )


def _opened(engine: Engine) -> Engine:
    """The same once its files were looked at. Raises EngineError."""
    return replace(open_engine(engine.folder), built_for=engine.built_for)


def _model(tokenizer: Path, limits: EngineLimits, config: LlamaConfig) -> AskedModel:
    return AskedModel(tokenizer, limits, config.max_position_embeddings, config.vocab_size)


def _require_accuracy(modes: Sequence[Mode]) -> None:
    """Raise UsageError when the speed of an emulated engine is asked for."""
    if modes != MODES["accuracy"]:
        raise UsageError("An emulated engine has an accuracy and no speed; add --mode accuracy.")
