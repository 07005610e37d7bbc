"""From the address of a server to a run of it: it is asked who it is, and how it may be asked,
before anything is spent.

The fields of a choice are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import CheckpointError, ConfigError, UsageError
from build_engine.files import read_json
from harness.dataset.sources.source import Source
from harness.runs.asking import Asked, AskedModel, Asking
from harness.runs.declared import caches_prefixes, declared
from harness.runs.request import RunRequest
from harness.runs.served import Served
from harness.streams import shell_word
from runtime.endpoint.key import KEY_VARIABLE, read_key
from runtime.endpoint.probe import Trial, probe
from runtime.endpoint.session import require_connections, require_library
from runtime.endpoint.spec import IDLE_S, MAX_IN_FLIGHT, EndpointSpec, base_url
from runtime.open_files import most_connections

if TYPE_CHECKING:
    from build_engine.checkpoint.tokenizer import Tokenizer
    from harness.progress import Progress
    from runtime.endpoint.key import Key
    from runtime.endpoint.probe import Probed

_OF_WORKLOAD = "workload."
_TRIAL = "The bridge over the river will open in May."
_TRIAL_IDS = 8
_FOLDER = "server"  # in the name of a run's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointChoice:
    """Servers as a user names them."""

    model: str
    """The checkpoint that they serve, for its tokenizer: a Hugging Face folder, a hub id
    (org/name), or `newsbrief`.
    """
    served_model: str | None = None
    """What the servers call the model; the one that they list when left out."""
    declare: tuple[str, ...] = ()
    """What only you know of the engine: `--declare precision=fp8 --declare engine="vLLM 0.11"`, or
    a .yaml file of such lines. Names: engine, checkpoint, precision, transformations, kv_cache,
    prefix_caching, hardware, options.
    """
    api_key_env: str = KEY_VARIABLE
    """The environment variable with the servers' key."""
    max_in_flight: int = MAX_IN_FLIGHT
    """Requests that each server is sent at once; fewer as soon as it says that it is busy."""
    idle_timeout_s: float = IDLE_S
    """Seconds without a byte from a server that has requests, after which it is given up."""
    tolerate_failures: bool = False
    """Go on when one of several servers is lost, with a mark on the run."""
    set: tuple[str, ...] = ()
    """Change a field of the workload: `--set workload.max_new_tokens=64`."""

    def request(self, urls: str, choice: Asking, progress: Progress) -> RunRequest:
        """The run of the servers at `urls`, with commas between them.

        Raises UsageErrors and EnvironmentFaults, all before a LoadGen test begins.
        """
        require_library()
        places, key, words = self._places(urls), read_key(self.api_key_env), declared(self.declare)
        if key.secret is not None and any(key.secret in value for value in words.values()):
            raise UsageError("A declaration has the key of the server in it; leave it out.")
        asked = choice.asked(self._settings)
        choice.check_place()
        source = Source.for_workload(choice.dataset, asked.workload, progress)
        folder, tokenizer = self._tokenizer(asked, progress)
        progress.phase(f"Server {', '.join(places)}")
        probed = self._probed(places, asked, tokenizer, key)
        served = self._served(probed, folder, tokenizer, words)
        dataset = choice.dataset_for(asked, source, _model(served, asked), progress)
        return RunRequest(
            scope=choice.scope(asked, dataset),
            modes=asked.modes,
            dataset=dataset,
            engine=None,
            served=served,
            executor=self._spec(probed, folder, caches_prefixes(words)),
            folder=choice.folder(_FOLDER, asked.scenario),
            repeat=choice.repeat,
            command=self._command(urls, choice),
        )

    def _places(self, urls: str) -> list[str]:
        try:
            found = [base_url(url) for url in urls.split(",") if url.strip()]
        except ValueError as problem:
            raise UsageError(str(problem)) from None
        if not found or len({*found}) < len(found):
            raise UsageError(f"`{urls}` names {'a server twice' if found else 'no server'}.")
        if self.max_in_flight < 1:
            raise UsageError(f"--max-in-flight is {self.max_in_flight}; give 1 or more.")
        require_connections(self.max_in_flight, len(found), most_connections())
        if not 0 < self.idle_timeout_s < float("inf"):
            raise UsageError(f"--idle-timeout is {self.idle_timeout_s:g}; give a number above 0.")
        if self.tolerate_failures and len(found) == 1:
            raise UsageError("One server has no other that could take over; name several.")
        return found

    @property
    def _settings(self) -> tuple[str, ...]:
        for setting in self.set:
            if not setting.startswith(_OF_WORKLOAD):
                raise ConfigError(
                    f"`--set {setting}` is no field of a workload, and a server's engine cannot be "
                    "changed from here; give --set workload.NAME=VALUE."
                )
        return tuple(setting.removeprefix(_OF_WORKLOAD) for setting in self.set)

    def _tokenizer(self, asked: Asked, progress: Progress) -> tuple[Path, Tokenizer]:
        from build_engine.checkpoint.resolve import resolve_tokenizer
        from build_engine.checkpoint.tokenizer import Tokenizer

        folder = resolve_tokenizer(self.model, asked.workload.revision_of(self.model), progress)
        return folder, Tokenizer.load(folder)

    def _probed(self, places: list[str], asked: Asked, tokenizer: Tokenizer, key: Key) -> Probed:
        ids = tokenizer.encode(_TRIAL)[:_TRIAL_IDS]
        trial = Trial(
            ids,
            tokenizer.prompt_text(ids.tolist()),
            streaming=asked.scenario.has_first_tokens,
            min_new_tokens=asked.workload.min_new_tokens,
        )
        return probe(places, self.served_model, trial, key, self.idle_timeout_s)

    def _served(
        self, probed: Probed, folder: Path, tokenizer: Tokenizer, words: dict[str, str]
    ) -> Served:
        from build_engine.checkpoint.tokenizer import stop_ids

        return Served(
            model=self.model.rstrip("/").rpartition("/")[2],
            folder=folder,
            tokenizer=tokenizer.digest,
            vocab_size=_size(folder, "vocab_size") or tokenizer.vocab_size,
            stop_ids=stop_ids(folder),
            servers=probed.servers,
            way=probed.way,
            declared=words,
        )

    def _spec(self, probed: Probed, folder: Path, caches: bool | None) -> EndpointSpec:
        return EndpointSpec(
            urls=tuple(server.url for server in probed.servers),
            model=probed.servers[0].model,
            way=probed.way,
            tokenizer=folder,
            key_variable=self.api_key_env,
            in_flight_each=self.max_in_flight,
            idle_s=self.idle_timeout_s,
            prefix_caching=caches,
            tolerate_failures=self.tolerate_failures,
        )

    def _command(self, urls: str, choice: Asking) -> str:
        """The command that makes this run."""
        words = ["enginebench", "endpoint", urls, "--model", self.model, *self._options()]
        for option, value in choice.options.items():
            words += [] if value is None else [option, str(value)]
        return " ".join(map(shell_word, words))

    def _options(self) -> Iterator[str]:
        if self.served_model is not None:
            yield from ("--served-model", self.served_model)
        for word in self.declare:
            yield from ("--declare", word)
        if self.api_key_env != KEY_VARIABLE:
            yield from ("--api-key-env", self.api_key_env)
        if self.max_in_flight != MAX_IN_FLIGHT:
            yield from ("--max-in-flight", str(self.max_in_flight))
        if self.idle_timeout_s != IDLE_S:
            yield from ("--idle-timeout", str(self.idle_timeout_s))
        if self.tolerate_failures:
            yield "--tolerate-failures"
        for setting in self.set:
            yield from ("--set", setting)


def _model(served: Served, asked: Asked) -> AskedModel:
    """What a dataset must fit: the sequences that the model and each server take."""
    from build_engine.store.limits import EngineLimits

    workload = asked.workload
    asks = workload.max_input_tokens + workload.max_new_tokens
    lengths = [each.max_model_len for each in served.servers]
    known = [_size(served.folder, "max_position_embeddings"), *lengths]
    positions = min((each for each in known if each), default=asks)
    limits = EngineLimits.for_lengths(workload.max_input_tokens, workload.max_new_tokens, positions)
    return AskedModel(served.folder, limits, positions, served.vocab_size)


def _size(folder: Path, name: str) -> int | None:
    """A size in a checkpoint's config.json, of any architecture; None where it does not say."""
    from build_engine.checkpoint.files import CONFIG_FILE

    try:
        content = read_json(folder / CONFIG_FILE, CheckpointError, "download the checkpoint again")
    except FileNotFoundError:
        return None
    value = content.get(name) if isinstance(content, dict) else None
    return value if isinstance(value, int) and value > 0 else None
