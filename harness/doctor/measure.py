"""Measures the peaks of this machine's CPU, and what the steps of an engine cost on it: seconds of
work through the library that engines compute with.

Steps are those of two small engines of random weights, which are built, timed and thrown away.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from build_engine.checkpoint.known import Dimensions
from build_engine.errors import EngineDied, EnvironmentFault
from build_engine.files import CACHE_REMEDY, cannot_write
from build_engine.roofline.costs import StepCosts, StepTimes, step_costs
from build_engine.roofline.engine import engine_roofline
from build_engine.roofline.memory import Elements
from build_engine.roofline.work import Lengths
from build_engine.temporary import mark, sweep
from harness.machine.load import LoadMeter
from harness.machine.measured import Fingerprint, MeasuredPeaks, Measurement, Products

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.progress import BuildProgress
    from build_engine.roofline.limits import Roofline
    from build_engine.roofline.peaks import Peaks
    from build_engine.roofline.storage import Storage
    from build_engine.store.engine import Engine
    from runtime.executor import Executor

_ROWS = (1, 16, 2048)
_KINDS = (("bf16", False), ("int8", False), ("int4", False), ("int8", True))
_LEAST_READ_BYTES = 2**28
_CACHES = 8  # an array of so many times the last cache is read from memory
_BATCH = 64
_SHORT, _LONG, _ANSWER = 16, 512, 32
_PROMPTS = 8
_TIMES = 3
_SCRATCH = ".engines"
_NONE = StepCosts(iteration_s=0, layer_s=0, element_s=0, answer_s=0, logit_s=0, cached_s=0)


def measure(progress: BuildProgress, now_utc: str) -> MeasuredPeaks:
    """Measure this machine. Raises MissingLibrary without OpenVINO, EnvironmentFault for an engine
    that does not run, OutputError without room for a small one.
    """
    from runtime.openvino.products import read_bytes_per_s

    here, meter = Fingerprint.here(), LoadMeter(os.getpid())
    progress.phase("matrix products")
    products = tuple(_products(here.arithmetic))
    progress.phase("memory")
    read = read_bytes_per_s(max(_LEAST_READ_BYTES, _CACHES * here.cache_bytes))
    load = meter.read()  # the engines below are processes of their own, and would count as others
    found = MeasuredPeaks(
        schema_version=MeasuredPeaks.SCHEMA,
        fingerprint=here,
        measured_utc=now_utc,
        products=products,
        read_bytes_per_s=Measurement.of(read),
        steps=_NONE,
        busy=load.busy if load else None,
    )
    progress.phase("steps of small engines")
    steps = _step_costs(here.place.parent, found.peaks, progress)
    return found.model_copy(update={"steps": steps})


def _products(compute: str) -> Iterator[Products]:
    """Of each kind that engines have; those in INT8 where this CPU multiplies so."""
    from build_engine.openvino.activations import require_int8
    from runtime.openvino.products import product_flops

    for weights, quantised in _KINDS:
        if quantised:
            try:
                require_int8()
            except EnvironmentFault:
                continue
        for rows in _ROWS:
            flops = product_flops(weights, compute, rows, quantised=quantised)
            yield Products(
                weights=weights,
                arithmetic="int8" if quantised else compute,
                rows=rows,
                flops=Measurement.of(flops),
            )


def _step_costs(folder: Path, peaks: Peaks, progress: BuildProgress) -> StepCosts:
    """From two engines that differ in layers and logits, built below `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder, _SCRATCH)
        with tempfile.TemporaryDirectory(prefix=f"{_SCRATCH}{mark()}", dir=folder) as scratch:
            with _started(Path(scratch), _dimensions(4, 4096), progress) as (engine, executor):
                few = _Timed(engine, executor, peaks)
                times, cached_s = few.times(), few.cached_s()
            with _started(Path(scratch), _dimensions(16, 32768), progress) as (engine, executor):
                return step_costs(times, _Timed(engine, executor, peaks).times(), cached_s)
    except EngineDied as error:
        raise EnvironmentFault(
            f"A small engine does not run on this machine ({error}); see `enginebench doctor`."
        ) from None
    except OSError as error:
        raise cannot_write(folder, error, CACHE_REMEDY) from None


def _dimensions(layers: int, vocabulary: int) -> Dimensions:
    return Dimensions(
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=vocabulary,
        max_position_embeddings=1024,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
    )


@contextmanager
def _started(
    folder: Path, dimensions: Dimensions, progress: BuildProgress
) -> Iterator[tuple[Engine, Executor]]:
    """An engine of these dimensions, built in `folder`, that takes requests."""
    from build_engine.build import build, make_spec
    from build_engine.checkpoint.checkpoint import open_checkpoint
    from build_engine.checkpoint.synthetic import write_synthetic
    from build_engine.recipe import load_recipe
    from build_engine.store.limits import EngineLimits
    from build_engine.store.store import EngineStore
    from build_engine.target import load_target
    from newsbrief import CHECKPOINT
    from runtime.backend import engine_spec, load

    checkpoint = folder / f"layers{dimensions.num_hidden_layers}"
    checkpoint.mkdir()
    write_synthetic(checkpoint, dimensions, CHECKPOINT)
    limits = EngineLimits(max_input_len=_LONG, max_seq_len=_LONG + _ANSWER)
    spec = make_spec(open_checkpoint(checkpoint), load_target("cpu"), load_recipe("bf16"), limits)
    engine = build(spec, EngineStore(folder), progress)
    executor = load(engine_spec(engine))
    try:
        yield engine, executor
    finally:
        executor.close()


@dataclass(frozen=True, slots=True)
class _Timed:
    """One small engine whose steps are timed."""

    engine: Engine
    executor: Executor
    peaks: Peaks

    @property
    def config(self) -> LlamaConfig:
        return self.engine.manifest.model.config

    @property
    def storage(self) -> Storage:
        from build_engine.backend import backend

        identity = self.engine.manifest.identity
        return backend(identity.backend.name).storage_of(identity.recipe, self.config)

    def times(self) -> StepTimes:
        """What its steps take beside arithmetic and traffic."""
        from runtime.pace import prompts_s

        prompts_s(self.executor, _PROMPTS, _LONG)  # the first are slower
        read_s = median(prompts_s(self.executor, _PROMPTS, _LONG) for _ in range(_TIMES))
        known_s = _PROMPTS * self._limits(_LONG, _PROMPTS).prompt_s
        return StepTimes(
            config=self.config,
            batch=_BATCH,
            one_s=self._beside_s(1, _SHORT),
            batch_s=self._beside_s(_BATCH, _SHORT),
            prompt_token_s=(read_s - known_s) / (_PROMPTS * _LONG),
        )

    def cached_s(self) -> float:
        """Of an element of the cache, beyond its traffic and arithmetic."""
        more_s = self._beside_s(_PROMPTS, _LONG) - self._beside_s(_PROMPTS, _SHORT)
        return more_s / (_PROMPTS * (_LONG - _SHORT) * Elements.of(self.config).kv_token)

    def _beside_s(self, requests: int, prompt: int) -> float:
        """Of a step that gives each of the requests a token."""
        from runtime.pace import decode_step_s

        steps = [decode_step_s(self.executor, requests, prompt, _ANSWER) for _ in range(_TIMES)]
        limits = self._limits(prompt + _ANSWER / 2, requests)
        traffic_s = prompt * limits.kv_token_bytes / limits.bandwidth
        known_s = requests * (limits.answer_s + traffic_s) + limits.weights_s
        return median(steps) - known_s

    def _limits(self, prompt: float, requests: int) -> Roofline:
        """Of one token for each request after so many."""
        lengths = Lengths(prompt=prompt, answer=2, longest_prompt=_LONG, spread=1.0)
        found = engine_roofline(self.config, self.storage, lengths, self.peaks, requests)
        assert found is not None, "the arithmetic of engines was measured"
        return found
