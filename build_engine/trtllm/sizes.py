"""How large an engine may be: the memory that it takes, and the sizes that fit a target.

The estimate itself is `build_engine/roofline/memory.py`; what TensorRT-LLM keeps in how many bytes
is said here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError
from build_engine.progress import size_text
from build_engine.recipe import BITS
from build_engine.roofline.memory import (
    LOGIT_BYTES,
    BuildNeeds,
    MemoryEstimate,
    cache_room,
    checkpoint_bytes,
)
from build_engine.roofline.memory import estimate as memory_of
from build_engine.roofline.storage import Storage, grouped_bytes
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.form import is_calibrated, reads_paged_context
from build_engine.trtllm.layout import check_shapes
from build_engine.trtllm.profile import Profile

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target

PAGE = 32  # tokens of a page of the KV cache: the library's own size
_ALIGNMENT = 64  # of the tokens of an iteration, as the kernels' tiles are

KV_CACHE_SHARE = 0.9  # of the memory that is free after loading: the library's own default
# of the longest request: a mean one, where its length is not known. The pages of a request are
# taken as it grows, and one that does not fit waits.
_MEAN_SHARE = 0.5
_FOR_PROMPTS = 4  # at most one token in so many of an iteration is of an answer

# of the weights: the builder holds a checkpoint and the engine at once (TensorRT-LLM issues 102,
# 346, 1609)
_HOST_SHARE = 2
_DISK_SHARE = 2  # of the weights: the checkpoint and the engine


def storage(recipe: RecipeRules, _config: LlamaConfig) -> Storage:
    """How an engine of the recipe keeps its parts. Embedding and head are apart, in 16 bits, even
    where the checkpoint has one table for both.
    """
    form = format_of(recipe)
    group = form.group_size if form.is_grouped else None
    kv_bytes = BITS[recipe.kv_cache] / 8
    plain = "bf16" if form.dtype == "bfloat16" else "fp16"
    return Storage(
        linear_bytes=grouped_bytes(BITS[recipe.weights], group, symmetric=True),
        table_bytes=2,
        shares_table=False,
        kv_bytes=kv_bytes,
        kv_reserved_bytes=kv_bytes,
        activation_bytes=2,
        linear_math=plain if recipe.is_weight_only else recipe.activations,
        other_math=plain,
        cache_share=KV_CACHE_SHARE,
        chunked=reads_paged_context(form),
    )


def estimate(config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits) -> MemoryEstimate:
    """The memory of an engine on each of its GPUs."""
    return memory_of(config, storage(recipe, config), limits)


def build_needs(config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits) -> BuildNeeds:
    """What making an engine needs, on the device of each GPU and on the host.

    A calibrated checkpoint is quantised as a whole in 16 bits, and exported as large again; any
    other is copied, one tensor at a time.
    """
    needed = estimate(config, recipe, limits)
    everything = needed.weights * limits.tensor_parallel
    whole = checkpoint_bytes(config)
    calibrated = is_calibrated(format_of(recipe))
    largest = 2 * max(map(math.prod, config.tensor_shapes.values()))
    return BuildNeeds(
        quantise_device=whole if calibrated else 0,
        quantise_host=whole if calibrated else largest,
        build_device=needed.least,
        build_host=_HOST_SHARE * everything,
        disk=_DISK_SHARE * everything,
    )


def fitted(
    limits: EngineLimits,
    config: LlamaConfig,
    recipe: RecipeRules,
    target: Target,
    profile: str | None,
    batch_given: bool,
    mean_tokens: float | None = None,
) -> EngineLimits:
    """`limits` with what the user left open chosen for the target and the profile: the tokens of
    an iteration, and (unless `batch_given`) the requests in flight: as many as fit of
    `mean_tokens`, prompt and answer.
    """
    latency = profile == Profile.LATENCY
    tokens = limits.max_num_tokens
    whole_prompt = -(-limits.max_input_len // _ALIGNMENT) * _ALIGNMENT
    if latency or not reads_paged_context(format_of(recipe)):
        tokens = whole_prompt if latency else max(tokens, whole_prompt)
    if latency and not batch_given:
        limits = replace(limits, max_batch_size=1)
    limits = replace(limits, max_num_tokens=tokens)
    if not latency and not batch_given:
        mean = mean_tokens or _MEAN_SHARE * limits.max_seq_len
        limits = replace(limits, max_batch_size=_batch_size(limits, config, recipe, target, mean))
    # by itself the builder lowers it to this, and then raises it to a page
    most = max(limits.max_seq_len * limits.max_batch_size, PAGE)
    return replace(limits, max_num_tokens=min(tokens, most))


def require_sizes(
    config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits, target: Target
) -> None:
    """Raise ConfigError where an engine of these sizes cannot be built or used on the target, and
    RecipeRefused where the checkpoint's shapes have no kernels.
    """
    if not reads_paged_context(format_of(recipe)) and limits.max_num_tokens < limits.max_input_len:
        raise ConfigError(
            f"limits.max_num_tokens {limits.max_num_tokens} is less than the longest prompt "
            f"({limits.max_input_len} tokens), and with a KV cache in {recipe.kv_cache} "
            "TensorRT-LLM reads a prompt in one iteration; raise it to the prompt's length, or "
            "give a shorter one with --max-input-len."
        )
    check_shapes(config, format_of(recipe), limits.tensor_parallel)
    needed = estimate(config, recipe, limits)
    assert target.memory_gib is not None
    memory = int(target.memory_gib * 2**30)
    if needed.least > memory:
        lower = _to_lower(config, limits, needed, needed.least - memory)
        raise ConfigError(
            f"`{recipe.name}` needs about {size_text(needed.least)} of GPU memory for one request "
            f"(weights {size_text(needed.weights)}), and target `{target.name}` has "
            f"{size_text(memory)}; {lower}choose a recipe with smaller weights, or a target with "
            "more memory."
        )


def _to_lower(
    config: LlamaConfig, limits: EngineLimits, needed: MemoryEstimate, lacking: int
) -> str:
    """The sizes that would make room for `lacking` bytes, each by itself; "" where none does."""
    sizes = (
        ("--max-batch-size", limits.max_batch_size, LOGIT_BYTES * config.vocab_size),
        ("--max-input-len", limits.max_input_len, needed.kv_request / limits.max_seq_len),
    )
    ways = [
        f"lower {option} by {less:,} to {size - less}"
        for option, size, each_bytes in sizes
        if (less := math.ceil(lacking / each_bytes)) < size
    ]
    return "".join(f"{way}, or " for way in ways)


def _batch_size(
    limits: EngineLimits,
    config: LlamaConfig,
    recipe: RecipeRules,
    target: Target,
    mean_tokens: float,
) -> int:
    needed = estimate(config, recipe, limits)
    assert target.memory_gib is not None
    room = cache_room(int(target.memory_gib * 2**30), needed, storage(recipe, config))
    fitting = int(room * limits.max_seq_len / (needed.kv_request * mean_tokens))
    requests = min(fitting, limits.max_num_tokens // _FOR_PROMPTS)
    return max(1, requests // 8 * 8 if requests > 8 else requests)
