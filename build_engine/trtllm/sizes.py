"""How large an engine may be: the memory that it takes, and the sizes that fit a target.

The memory is an estimate from the architecture alone, made before anything is spent; the builder
and the executor have the last word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError
from build_engine.progress import size_text
from build_engine.recipe import BITS
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.form import reads_paged_context
from build_engine.trtllm.layout import check_shapes
from build_engine.trtllm.profile import Profile

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target

PAGE = 32  # tokens of a page of the KV cache: the library's own size
_ALIGNMENT = 64  # of the tokens of an iteration, as the kernels' tiles are

_USABLE = 0.9  # of the memory: the executor's own default share of it for weights and cache
# The pages of a request are taken as it grows. News articles are on average less than half as long
# as the longest, and a request that does not fit waits.
_SHORTER = 2
_FOR_PROMPTS = 4  # at most one token in so many of an iteration is of an answer


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one GPU. `kv_request` is the cache of one request at its longest."""

    weights: int
    activations: int
    kv_request: int

    @property
    def least(self) -> int:
        """What one request needs."""
        return self.weights + self.activations + self.kv_request


def estimate(config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits) -> MemoryEstimate:
    """The memory of an engine on each of its GPUs."""
    parts = limits.tensor_parallel
    linear = sum(a * b for a, b in _matrices(config)) * config.num_layers
    embedding = config.vocab_size * config.hidden_size * 2 * 2  # embedding and head, 16 bits each
    kv_bits = BITS[recipe.kv_cache]
    kv_token = 2 * config.num_layers * config.num_kv_heads * config.head_dim * kv_bits // 8
    # Of one layer at a time: residual, its norm, and both halves of the MLP, in 16 bits; logits in
    # float32 for the last token of each request.
    layer = limits.max_num_tokens * 2 * (2 * config.hidden_size + 2 * config.intermediate_size)
    logits = limits.max_batch_size * config.vocab_size * 4
    return MemoryEstimate(
        weights=(linear * BITS[recipe.weights] // 8 + embedding) // parts,
        activations=layer + logits,
        kv_request=kv_token * limits.max_seq_len // parts,
    )


def fitted(
    limits: EngineLimits,
    config: LlamaConfig,
    recipe: RecipeRules,
    target: Target,
    profile: str | None,
    batch_given: bool,
) -> EngineLimits:
    """`limits` with what the user left open chosen for the target and the profile: the tokens of
    an iteration, and (unless `batch_given`) the requests in flight.
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
        limits = replace(limits, max_batch_size=_batch_size(limits, config, recipe, target))
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
    if needed.least > target.memory_gib * 2**30:
        raise ConfigError(
            f"`{recipe.name}` needs about {size_text(needed.least)} of GPU memory for one request "
            f"(weights {size_text(needed.weights)}), and target `{target.name}` has "
            f"{size_text(round(target.memory_gib * 2**30))}; choose a recipe with smaller weights, "
            "or a target with more memory."
        )


def _batch_size(
    limits: EngineLimits, config: LlamaConfig, recipe: RecipeRules, target: Target
) -> int:
    needed = estimate(config, recipe, limits)
    assert target.memory_gib is not None
    room = int(target.memory_gib * 2**30 * _USABLE) - needed.weights - needed.activations
    requests = min(_SHORTER * room // needed.kv_request, limits.max_num_tokens // _FOR_PROMPTS)
    return max(1, requests // 8 * 8 if requests > 8 else requests)


def _matrices(config: LlamaConfig) -> list[tuple[int, int]]:
    """(out, in) of the four linear layers of a decoder layer as TensorRT-LLM has them, gate and up
    apart.
    """
    heads = config.num_heads * config.head_dim
    qkv = heads + 2 * config.num_kv_heads * config.head_dim
    hidden, inner = config.hidden_size, config.intermediate_size
    return [(qkv, hidden), (hidden, heads), (inner, hidden), (inner, hidden), (hidden, inner)]
