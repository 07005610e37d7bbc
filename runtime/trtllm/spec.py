"""What the TensorRT-LLM executor is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from build_engine.trtllm.sizes import KV_CACHE_SHARE
from runtime.spec import EngineFolderSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine

SchedulerPolicy = Literal["guaranteed_no_evict", "max_utilization"]


class TRTLLMSpec(EngineFolderSpec):
    """An engine folder of a GPU target, executed by TensorRT-LLM's in-flight batching."""

    backend: Literal["tensorrt-llm"] = "tensorrt-llm"
    scheduler_policy: SchedulerPolicy = "guaranteed_no_evict"
    """Whether a started request keeps its key/value cache to the end, or is paused and computed
    again when the cache is full. Which is faster depends on the load: measure both.
    """
    kv_cache_fraction: Annotated[float, Field(gt=0.0, lt=1.0)] = KV_CACHE_SHARE
    """Share of the GPU memory that is free after loading for the key/value cache."""
    chunked_context: bool | None = None
    """Whether a long prompt is computed in parts between other requests' tokens; None does so where
    the engine was built for it.
    """
    max_batch_size: PositiveInt | None = None
    """Requests in flight, at most; None takes the engine's."""
    max_num_tokens: PositiveInt | None = None
    """Tokens of one iteration, at most; None takes the engine's."""
    cuda_graphs: bool = False
    """Whether steps without prompt tokens are replayed as CUDA graphs."""
    gpu: NonNegativeInt | None = None
    """Number of the GPU; None leaves it to CUDA, which takes the first it is shown."""
    silence_s: PositiveFloat = 60.0
    """Seconds without a token and without an iteration, while requests are open, after which the
    engine counts as hung.
    """

    @classmethod
    def of(cls, engine: Engine) -> TRTLLMSpec:
        """With the share of the KV cache that the engine was planned with."""
        share = engine.manifest.runtime.get("kv_cache_fraction")
        return cls(
            folder=engine.folder,
            kv_cache_fraction=KV_CACHE_SHARE if share is None else float(share),
        )

    @property
    def max_in_flight(self) -> int | None:
        """See `ExecutorSpec.max_in_flight`."""
        return self.max_batch_size or super().max_in_flight

    @property
    def own_batch_size(self) -> int | None:
        """See `ExecutorSpec.own_batch_size`."""
        return self.max_batch_size

    def limited(self, max_batch_size: int, max_num_tokens: int) -> TRTLLMSpec:
        """See `ExecutorSpec.limited`: the executor's configuration has both, up to the engine's."""
        return self.model_copy(
            update={"max_batch_size": max_batch_size, "max_num_tokens": max_num_tokens}
        )
