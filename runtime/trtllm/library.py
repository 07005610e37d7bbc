"""All that is made of TensorRT-LLM's executor bindings, every argument by its name.

`tests/contract/` holds what is passed here against facts of the library's source. Two fields are
never passed, because versions around the pinned one differ in them: `onboard_blocks` and
`normalize_log_probs`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from build_engine.errors import EngineError, EnvironmentFault
from build_engine.libraries import was_interrupted
from build_engine.trtllm.environment import without_launchers
from runtime.trtllm.contract import differing_defaults

if TYPE_CHECKING:
    from pathlib import Path

    from runtime.executor import Request
    from runtime.trtllm.sizes import Sizes
    from runtime.trtllm.spec import TRTLLMSpec

NO_END = -1  # an `end_id` that no token has
_STATS_KEPT = 1000  # iterations; we look ten times a second and count what each computed

RELIED_ON: dict[str, tuple[str, ...]] = {
    "ExecutorConfig": (
        "max_beam_width",
        "batching_type",
        "max_batch_size",
        "max_num_tokens",
        "parallel_config",
        "decoding_config",
        "logits_post_processor_config",
        "gpu_weights_percent",
        "max_queue_size",
        "spec_dec_config",
        "guided_decoding_config",
        "additional_model_outputs",
        "cache_transceiver_config",
        "gather_generation_logits",
        "enable_trt_overlap",
    ),
    "KvCacheConfig": (
        "max_tokens",
        "max_attention_window",
        "sink_token_length",
        "host_cache_size",
        "cross_kv_cache_fraction",
        "use_uvm",
        "max_gpu_total_bytes",
    ),
    "SchedulerConfig": ("dynamic_batch_config",),
    "ExtendedRuntimePerfKnobConfig": ("multi_block_mode", "enable_context_fmha_fp32_acc"),
    "SamplingConfig": (
        "beam_width",
        "top_p",
        "temperature",
        "beam_search_diversity_rate",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "no_repeat_ngram_size",
        "num_return_sequences",
        "min_p",
    ),
    "OutputConfig": (
        "return_log_probs",
        "return_context_logits",
        "return_generation_logits",
        "return_perf_metrics",
    ),
}
"""Fields whose defaults we leave alone and build on, by class; the facts have the values."""


def prepare(environment: dict[str, str], gpu: int | None) -> dict[str, str]:
    """The environment in which the library is imported."""
    kept = without_launchers(environment)
    kept.setdefault("TLLM_LOG_LEVEL", "INFO")  # the load then tells what it really took
    if gpu is not None:
        kept["CUDA_VISIBLE_DEVICES"] = str(gpu)
    return kept


def bindings(built_with: str) -> Any:
    """The module of the bindings. Importing it starts MPI, as the only process of its world.

    Raises EngineError for an engine of another version, EnvironmentFault for a library whose
    defaults are not those that we build on, or that is not there.
    """
    try:
        import tensorrt_llm
        from tensorrt_llm.bindings import executor as trt
    except ImportError as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise EnvironmentFault(
            f"TensorRT-LLM cannot be imported ({error}); run in its container."
        ) from None
    here = str(tensorrt_llm.__version__)
    if here != built_with:
        raise EngineError(
            f"the engine was built by TensorRT-LLM {built_with} and this is {here}; build it again"
        )
    if differing := differing_defaults(trt, RELIED_ON):
        raise EnvironmentFault(
            f"TensorRT-LLM {here} is not as this version of enginebench knows it: "
            f"{'; '.join(differing)}. Use the pinned version."
        )
    return trt


def start(trt: Any, folder: Path, config: Any) -> Any:
    """Load an engine; tens of seconds in which no other thread of this process runs.

    Raises RuntimeError, in the library's words.
    """
    return trt.Executor(
        model_path=str(folder),
        model_type=trt.ModelType.DECODER_ONLY,
        executor_config=config,
    )


def executor_config(trt: Any, spec: TRTLLMSpec, sizes: Sizes) -> Any:
    """How an engine is executed: in-flight batching, and nothing of one query kept for another."""
    knobs = trt.ExtendedRuntimePerfKnobConfig()
    if spec.cuda_graphs:  # properties only, and the object is copied where it is read
        knobs.cuda_graph_mode = True
        knobs.cuda_graph_cache_size = sizes.max_batch_size
    policies = {
        "guaranteed_no_evict": trt.CapacitySchedulerPolicy.GUARANTEED_NO_EVICT,
        "max_utilization": trt.CapacitySchedulerPolicy.MAX_UTILIZATION,
    }
    config = trt.ExecutorConfig(
        scheduler_config=trt.SchedulerConfig(
            capacity_scheduler_policy=policies[spec.scheduler_policy],
            context_chunking_policy=trt.ContextChunkingPolicy.FIRST_COME_FIRST_SERVED,
        ),
        kv_cache_config=trt.KvCacheConfig(
            enable_block_reuse=False,  # MLPerf: every query is computed in its entirety
            enable_partial_reuse=False,
            free_gpu_memory_fraction=spec.kv_cache_fraction,
        ),
        enable_chunked_context=sizes.chunked_context,
        iter_stats_max_iterations=_STATS_KEPT,
        request_stats_max_iterations=0,
        extended_runtime_perf_knob_config=knobs,
        fail_fast_on_attention_window_too_large=True,  # else the engine lowers max_seq_len
    )
    if spec.max_batch_size is not None:
        config.max_batch_size = spec.max_batch_size
    if spec.max_num_tokens is not None:
        config.max_num_tokens = spec.max_num_tokens
    return config


class RequestMaker:
    """Makes the library's requests of ours, sharing what many have in common."""

    def __init__(self, trt: Any) -> None:
        self._trt = trt
        self._output = trt.OutputConfig(exclude_input_from_output=True)
        self._sampling: dict[int | None, Any] = {}

    def make(self, request: Request) -> Any:
        """Greedy, known by our id; it ends at the first stop id, by `end_id` or as a stop word."""
        stops = () if request.ignore_eos else request.stop_ids
        others = [[stop] for stop in stops[1:]]
        min_tokens = request.min_new_tokens if stops else None  # it masks the end id, and needs one
        return self._trt.Request(
            input_token_ids=request.prompt_ids.tolist(),
            max_tokens=request.max_new_tokens,
            streaming=request.streaming,
            sampling_config=self._sampling_config(min_tokens),
            output_config=self._output,
            end_id=end_id(request),
            stop_words=others or None,
            client_id=request.id,
        )

    def _sampling_config(self, min_tokens: int | None) -> Any:
        if min_tokens not in self._sampling:
            self._sampling[min_tokens] = self._trt.SamplingConfig(top_k=1, min_tokens=min_tokens)
        return self._sampling[min_tokens]


def end_id(request: Request) -> int:
    """The id at which the engine ends an answer, which then is not in it."""
    return request.stop_ids[0] if request.stop_ids and not request.ignore_eos else NO_END
