"""The command that compiles an engine: every value of `trtllm-build` stated, each with its reason.

Nothing is run or written. What the engine must then say of itself is in `readback.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.paths import cache_root
from build_engine.planned import PlannedBuild, Setting
from build_engine.progress import size_text
from build_engine.roofline.memory import cache_room
from build_engine.roofline.room import PAGE
from build_engine.sized import AS_GIVEN
from build_engine.trtllm.algorithm import PER_TENSOR, format_of
from build_engine.trtllm.form import computes_in_fp8, reads_paged_context
from build_engine.trtllm.pin import PIN
from build_engine.trtllm.profile import Profile, optimal_tokens
from build_engine.trtllm.readback import expectations
from build_engine.trtllm.sizes import (
    cache_share,
    device_bytes,
    estimate,
    require_sizes,
    storage,
)

if TYPE_CHECKING:
    from build_engine.sized import SizeReasons
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.algorithm import QuantFormat

PROGRAM = "trtllm-build"

_NOT_LLAMA = "not for a Llama decoder; stated, so that no default decides"
# Flags that are left out on purpose, and why that is not leaving a value open.
NOT_STATED = {
    "--model_config": "the checkpoint is given",
    "--build_config": "it would override the sizes and not the plugins",
    "--model_cls_file": "no class of our own",
    "--model_cls_name": "no class of our own",
    "--max_encoder_input_len": "no encoder",
    "--paged_kv_cache": "deprecated for --kv_cache_type",
    "--strip_plan": "a switch, off: the engine keeps its weights",
    "--weight_sparsity": "a switch, off: MLPerf's closed division forbids pruning",
    "--weight_streaming": "a switch, off: weights stay on the GPU",
    "--fast_build": "a switch, off: not for INT8 and INT4 without a plugin",
    "--enable_debug_output": "a switch, off",
    "--visualize_network": "no dump of the network",
    "--dry_run": "a switch, off: an engine is wanted",
    "--monitor_memory": "a switch, off: we watch the process ourselves",
    "--gather_context_logits": "a switch, off: only tokens are asked for",
    "--gather_generation_logits": "a switch, off: only tokens are asked for",
    "--gather_all_token_logits": "a switch, off: only tokens are asked for",
    "--lora_dir": "no LoRA",
    "--lora_ckpt_source": "no LoRA",
    "--lora_target_modules": "no LoRA",
    "--max_lora_rank": "no LoRA",
    "--speculative_decoding_mode": "MLPerf's closed division forbids it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the builder reads and writes; `timing_in` may be missing, `timing_out` is written."""

    checkpoint: str
    engine: str
    timing_in: str
    timing_out: str


def planned(spec: EngineSpec, why: SizeReasons) -> PlannedBuild:
    """The plan for `spec` before its checkpoint is made, with names for places."""
    cache = timing_cache(spec.target.name)
    places = Places(
        checkpoint="CHECKPOINT", engine="ENGINE", timing_in=str(cache), timing_out="TIMINGS"
    )
    return plan_build(spec, format_of(spec.recipe), places, why)


def plan_build(
    spec: EngineSpec, form: QuantFormat, places: Places, why: SizeReasons = AS_GIVEN
) -> PlannedBuild:
    """The plan for an engine of `spec` from a checkpoint in `form`; `why` are the reasons of its
    sizes.

    Raises ConfigError for sizes that cannot be built or used, RecipeRefused for layers that the
    groups of a recipe do not divide.
    """
    profile = Profile(spec.profile or Profile.THROUGHPUT)
    require_sizes(spec.checkpoint.config, spec.recipe, spec.limits, spec.target)
    settings = (
        *_files(places),
        *_sizes(spec, profile, why),
        *_attention(form),
        *_products(form, spec.limits.tensor_parallel),
        *_unused(),
    )
    return PlannedBuild(
        title=(
            f"{spec.checkpoint.name} for {spec.target.title} (sm_{spec.target.sm}): "
            f"{spec.recipe.title}, tuned for {profile}"
        ),
        program=PROGRAM,
        settings=settings,
        execution=(_cache_fraction(spec), _chunked(form)),
        expected=expectations(spec, form, settings),
        notes=_notes(spec, form),
    )


def timing_cache(target: str) -> Path:
    """Where the timings of kernels are kept, for each GPU type and version of TensorRT."""
    return cache_root() / "timings" / f"{target}-tensorrt-{PIN.tensorrt}.cache"


def _notes(spec: EngineSpec, form: QuantFormat) -> tuple[str, ...]:
    limits, needed = spec.limits, estimate(spec.checkpoint.config, spec.recipe, spec.limits)
    algorithm = form.quant_algo or "not quantised"
    return (
        f"checkpoint: {algorithm}, the rest in {form.dtype}, "
        f"KV cache in {form.kv_cache_quant_algo or form.dtype}",
        f"memory on each GPU, estimated: weights {size_text(needed.weights)}, activations "
        f"{size_text(needed.activations)}, KV cache {size_text(needed.kv_request)} for a request "
        f"of {limits.max_seq_len} tokens",
        f"afterwards rank0.engine is kept only if its config.json shows what was asked; "
        f"TensorRT-LLM {PIN.tensorrt_llm}, TensorRT {PIN.tensorrt}",
    )


def _files(places: Places) -> list[Setting]:
    one_rank = "the part of one GPU after the other, so that each is timed with a whole GPU"
    return [
        Setting("--checkpoint_dir", places.checkpoint, "the quantised checkpoint of the store"),
        Setting("--output_dir", places.engine, "a temporary folder, kept only when all went well"),
        Setting("--input_timing_cache", places.timing_in, "of this GPU and TensorRT, if any"),
        Setting("--output_timing_cache", places.timing_out, "its default is the working directory"),
        Setting("--workers", "1", one_rank),
        Setting("--log_level", "info", "the phases of a build are told from its log"),
    ]


def _sizes(spec: EngineSpec, profile: Profile, why: SizeReasons) -> list[Setting]:
    limits = spec.limits
    positions = spec.checkpoint.config.max_position_embeddings
    best = optimal_tokens(profile, limits)
    return [
        Setting(
            "--max_batch_size",
            str(limits.max_batch_size),
            f"requests in flight at once: {why.max_batch_size}",
        ),
        Setting(
            "--max_input_len",
            str(limits.max_input_len),
            f"the longest prompt, {why.max_input_len}; the builder ignores it for packed input, "
            "and records it",
        ),
        Setting(
            "--max_seq_len",
            str(limits.max_seq_len),
            f"the longest prompt and answer, {why.max_seq_len}; left out it would be the model's "
            f"{positions}",
        ),
        Setting(
            "--max_num_tokens",
            str(limits.max_num_tokens),
            f"tokens of an iteration: {why.max_num_tokens}",
        ),
        Setting("--opt_num_tokens", str(best.value), best.reason),
        Setting(
            "--multiple_profiles",
            "disable",
            "one set of kernels: with several, tokens can differ between two loads of one engine",
        ),
        Setting("--max_beam_width", "1", "answers are greedy"),
        Setting("--max_draft_len", "0", "MLPerf's closed division forbids speculative decoding"),
        Setting("--max_prompt_embedding_table_size", "0", "prompts are tokens"),
        Setting("--logits_dtype", "float32", "the greatest logit is not lost in rounding"),
    ]


def _cache_fraction(spec: EngineSpec) -> Setting:
    config, recipe, limits = spec.checkpoint.config, spec.recipe, spec.limits
    share = cache_share(config, recipe, limits, spec.target)
    needed = estimate(config, recipe, limits)
    room = cache_room(device_bytes(spec.target), needed, storage(recipe, config))
    free = device_bytes(spec.target) - needed.weights - needed.activations
    longest = int(room / needed.kv_request)
    return Setting(
        "kv_cache_fraction",
        f"{share:.2f}",
        f"of the {size_text(free)} that are free once it is loaded: {size_text(room)}, in which "
        f"{longest:,} requests of the greatest length fit; the rest is left to the runtime",
    )


def _chunked(form: QuantFormat) -> Setting:
    chunked = reads_paged_context(form)
    return Setting(
        "chunked_context",
        "on" if chunked else "off",
        "long prompts are read in parts, between the tokens of other answers"
        if chunked
        else "it needs paged context attention",
    )


def _attention(form: QuantFormat) -> list[Setting]:
    fp8_context = computes_in_fp8(form) and form.kv_cache_quant_algo == "FP8"
    paged = (
        "chunked context reads the paged cache"
        if reads_paged_context(form)
        else f"it does not work with a KV cache in {form.kv_cache_quant_algo}; the builder would "
        "switch it off without an error"
    )
    return [
        Setting("--kv_cache_type", "paged", "in-flight batching takes cache by the page"),
        Setting("--tokens_per_block", str(PAGE), "tokens of a page: the library's own size"),
        Setting("--remove_input_padding", "enable", "in-flight batching packs requests"),
        Setting("--context_fmha", "enable", "fused attention over the prompt"),
        Setting("--use_paged_context_fmha", _switch(reads_paged_context(form)), paged),
        Setting(
            "--use_fp8_context_fmha",
            _switch(fp8_context),
            "attention in FP8 goes with FP8 products and an FP8 KV cache, and with nothing else",
        ),
        Setting("--gpt_attention_plugin", "auto", "the attention of in-flight batching"),
    ]


def _products(form: QuantFormat, parts: int) -> list[Setting]:
    static = form.quant_algo == PER_TENSOR
    plain = form.quant_algo is None
    if computes_in_fp8(form) or static:
        gemm, why = "disable", "TensorRT's own kernels for FP8 and for explicit INT8 scales"
    else:
        gemm = "auto"
        why = "products in 16 bits: all of them" if plain else "products in 16 bits: the head only"
    fused = plain or form.quant_algo == "FP8"
    verbosity = "detailed" if static else "layer_names_only"
    told = "whether INT8 was fused shows only in the details" if static else "a small engine"
    return [
        Setting("--gemm_plugin", gemm, why),
        Setting(
            "--use_fused_mlp",
            _switch(fused),
            "gate and up in one product; only for 16 bits and FP8",
        ),
        Setting("--nccl_plugin", "auto" if parts > 1 else "disable", f"{parts} GPU an engine"),
        Setting("--profiling_verbosity", verbosity, told),
    ]


def _unused() -> list[Setting]:
    names = (
        *("bert_attention", "moe", "mamba_conv1d", "lora", "dora", "gemm_swiglu"),
        *("fp8_rowwise_gemm", "low_latency_gemm", "low_latency_gemm_swiglu", "gemm_allreduce"),
    )
    switches = (
        *("bert_context_fmha_fp32_acc", "norm_quant_fusion", "reduce_fusion", "user_buffer"),
        *("fuse_fp4_quant", "paged_state", "streamingllm", "pp_reduce_scatter"),
    )
    flags = [*(f"--{name}_plugin" for name in names), *(f"--{name}" for name in switches)]
    return [Setting(flag, "disable", _NOT_LLAMA) for flag in flags]


def _switch(on: bool) -> str:
    return "enable" if on else "disable"
