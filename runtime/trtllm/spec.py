"""What the TensorRT-LLM executor is made from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from build_engine.trtllm.sizes import KV_CACHE_SHARE
from runtime.spec import LimitedFolderSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine

SchedulerPolicy = Literal["guaranteed_no_evict", "max_utilization"]


class TRTLLMSpec(LimitedFolderSpec):
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
    cuda_graphs: bool = False
    """Whether steps without prompt tokens are replayed as CUDA graphs."""
    gpu: NonNegativeInt | None = None
    """Number of the GPU; None leaves it to CUDA, which takes the first it is shown."""
    silence_s: PositiveFloat = 60.0
    """Seconds without a token and without an iteration, while requests are open, after which the
    engine counts as hung.
    """

    @property
    def evicts(self) -> bool:
        """Whether a request may be paused and computed again."""
        return self.scheduler_policy == "max_utilization"

    @classmethod
    def of(cls, engine: Engine) -> TRTLLMSpec:
        """With the share of the KV cache that the engine was planned with."""
        share = engine.manifest.runtime.get("kv_cache_fraction")
        return cls(
            folder=engine.folder,
            kv_cache_fraction=KV_CACHE_SHARE if share is None else float(share),
        )
