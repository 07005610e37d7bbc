"""The engine of a plan as a simulated one: how long its iterations take, and what its scheduler may
do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from build_engine.errors import ConfigError
from build_engine.roofline.limits import HOST_S
from build_engine.roofline.memory import Elements
from build_engine.validation import problem_of
from harness.plan.forecast import reached_of, roofline
from harness.plan.memory import memory_plan
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel

if TYPE_CHECKING:
    from build_engine.roofline.limits import Efficiency, Roofline
    from build_engine.roofline.peaks import Peaks
    from harness.plan.asked import Asked
    from harness.plan.memory import MemoryPlan
    from harness.plan.plan import EnginePlan

_BLOCK_TOKENS = 32  # of TensorRT-LLM's cache, by its own default


def planned_engine(
    plan: EnginePlan, peaks: Peaks, reached: Efficiency | None = None
) -> EngineModel | None:
    """The engine of a plan, as it would be built, on a machine of these peaks, at the typical
    efficiency if none is given; None where it does not fit, or a peak is not known. Raises
    ConfigError for one that is not as simulated engines can be.
    """
    return _engine(plan.asked, plan.memory, peaks, reached) if plan.memory.fits else None


def likely_engine(asked: Asked, peaks: Peaks) -> EngineModel | None:
    """An engine that is there, whatever memory is free now; None where a peak is not known. Raises
    ConfigError where too little is known of it, and as `planned_engine` does.
    """
    return _engine(asked, memory_plan(asked), peaks, None)


def _engine(
    asked: Asked, memory: MemoryPlan, peaks: Peaks, reached: Efficiency | None
) -> EngineModel | None:
    limits = roofline(asked, peaks, memory.at_once)
    if limits is None:
        return None
    limits, seen = reached_of(asked, peaks, limits)
    try:
        return EngineModel(
            time=_time(asked, limits, reached or seen.typical),
            kv_blocks=_blocks(memory),
            tokens_per_block=_BLOCK_TOKENS,
            max_batch_size=memory.limits.max_batch_size,
            max_num_tokens=memory.limits.max_num_tokens,
            chunked_context=asked.storage.chunked,
        )
    except ValidationError as error:
        told = problem_of(EngineModel, error)
        raise ConfigError(f"Such an engine cannot be simulated: {told}") from None


def _blocks(memory: MemoryPlan) -> int:
    """Of the cache; where it is in a machine's own memory, what of it is free just now is not
    asked: so many as a full batch of the longest requests needs.
    """
    longest = -(-memory.limits.max_seq_len // _BLOCK_TOKENS)
    if memory.on_host:
        return memory.limits.max_batch_size * longest
    return max(memory.cache // (memory.kv_token * _BLOCK_TOKENS), longest)


def _time(asked: Asked, limits: Roofline, reached: Efficiency) -> TimeModel:
    config, cost = asked.model.config, reached.overhead
    elements = Elements.of(config)
    return TimeModel(
        linear_flops_per_token=2.0 * elements.linear,
        attention_flops_per_pair=4.0 * config.num_heads * config.head_dim * config.num_layers,
        head_flops_per_token=2.0 * elements.table,
        weight_bytes=limits.step_bytes,
        kv_bytes_per_token=limits.kv_token_bytes,
        linear_flops_per_s=limits.linear_peak,
        linear_by_rows=limits.few[0].points if limits.few else (),
        other_flops_per_s=limits.other_peak,
        other_by_rows=limits.few[1].points if limits.few else (),
        bytes_per_s=limits.bandwidth,
        compute_efficiency=reached.compute,
        bandwidth_efficiency=reached.shared_bandwidth,
        overhead_s=cost.iteration_s if cost else HOST_S,
        token_s=cost.prompt_token_s if cost else 0.0,
        sampled_s=max(cost.answer_token_s - cost.prompt_token_s, 0.0) if cost else 0.0,
        cached_s=cost.cached_token_s if cost else 0.0,
    )
