"""The sizes of an engine that the user left open, chosen for the target and the workload."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.progress import size_text
from build_engine.roofline.memory import Elements, cache_room, requests_in
from build_engine.roofline.room import PAGE
from build_engine.sized import GIVEN, Sized, SizeReasons
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.form import reads_paged_context
from build_engine.trtllm.profile import Profile
from build_engine.trtllm.sizes import device_bytes, estimate, storage

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.roofline.work import Lengths
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target

_ALIGNMENT = 64  # of the tokens of an iteration, as the kernels' tiles are
# The library's own defaults. Of published engines on large GPUs, the one with the largest
# iterations (12,000 tokens, against 1,536) was 13 to 16 % faster: docs/planning.md.
_MOST_TOKENS = 8192
_MOST_REQUESTS = 2048
# Of the longest request, and of the tokens of an iteration, where the lengths of a mean request are
# not known.
_MEAN_SHARE = 0.5
_FOR_PROMPTS = 4


def fitted(
    limits: EngineLimits,
    config: LlamaConfig,
    recipe: RecipeRules,
    target: Target,
    profile: str | None,
    batch_given: bool,
    lengths: Lengths | None = None,
) -> Sized:
    """`limits` with what the user left open chosen for the target and the profile: the tokens of
    an iteration, and (unless `batch_given`) the requests in flight. `lengths` are those of the
    workload, None where they are not known.
    """
    if profile == Profile.LATENCY:
        found = _for_latency(limits, batch_given)
    else:
        found = _Throughput(limits, config, recipe, target, lengths).fitted(batch_given)
    limits = found.limits
    # by itself the builder lowers it to this, and then raises it to a page
    most = max(limits.max_seq_len * limits.max_batch_size, PAGE)
    tokens = min(limits.max_num_tokens, most)
    return Sized(replace(limits, max_num_tokens=tokens), found.why)


def _for_latency(limits: EngineLimits, batch_given: bool) -> Sized:
    batch = limits.max_batch_size if batch_given else 1
    return Sized(
        replace(limits, max_batch_size=batch, max_num_tokens=_whole_prompt(limits)),
        SizeReasons(
            max_batch_size=GIVEN if batch_given else "latency: one request at a time",
            max_num_tokens=f"latency: a prompt ({limits.max_input_len:,} tokens) is read at once",
        ),
    )


def _whole_prompt(limits: EngineLimits) -> int:
    return -(-limits.max_input_len // _ALIGNMENT) * _ALIGNMENT


class _Throughput:
    """Many requests at once: as many as fit, and iterations in which they get on."""

    def __init__(
        self,
        limits: EngineLimits,
        config: LlamaConfig,
        recipe: RecipeRules,
        target: Target,
        lengths: Lengths | None,
    ) -> None:
        self._limits, self._config, self._recipe = limits, config, recipe
        self._memory, self._lengths = device_bytes(target), lengths
        self._chunked = reads_paged_context(format_of(recipe))
        least = limits.max_num_tokens
        self._least = least if self._chunked else max(least, _whole_prompt(limits))

    def fitted(self, batch_given: bool) -> Sized:
        """Both sizes: the smallest iteration in which as many requests get on as fit beside it."""
        tokens = next(
            (each for each in self._sizes if each >= self._steady(self._batch(each, batch_given))),
            max(self._least, _MOST_TOKENS),
        )
        fitting = self._batch(tokens, batch_given)
        batch = fitting if batch_given else _rounded(min(fitting, self._getting_on(tokens)))
        return Sized(
            replace(self._limits, max_batch_size=batch, max_num_tokens=tokens),
            SizeReasons(
                max_batch_size=GIVEN if batch_given else self._why_batch(tokens, fitting),
                max_num_tokens=self._why_tokens(tokens),
            ),
        )

    @property
    def _sizes(self) -> range:
        return range(self._least, _MOST_TOKENS + 1, _ALIGNMENT)

    def _batch(self, tokens: int, given: bool) -> int:
        """The requests of mean length that fit beside an iteration of `tokens`, or those given."""
        if given:
            return self._limits.max_batch_size
        fitting = requests_in(
            self._room(tokens),
            Elements.of(self._config),
            storage(self._recipe, self._config),
            self._mean,
            self._limits.tensor_parallel,
        )
        return max(1, min(fitting, _MOST_REQUESTS))

    def _room(self, tokens: int) -> int:
        """Bytes of the KV cache."""
        limits = replace(self._limits, max_num_tokens=tokens)
        needed = estimate(self._config, self._recipe, limits)
        return cache_room(self._memory, needed, storage(self._recipe, self._config))

    @property
    def _mean(self) -> float:
        """Tokens of a mean request."""
        lengths = self._lengths
        return _MEAN_SHARE * self._limits.max_seq_len if lengths is None else lengths.request

    @property
    def _per_request(self) -> float:
        """Tokens of an iteration for each request in flight: its next one, and its share of the
        prompts that are read while its answer is written.
        """
        lengths = self._lengths
        return _FOR_PROMPTS if lengths is None else 1 + lengths.prompt / lengths.answer

    def _steady(self, batch: int) -> int:
        return 0 if self._lengths is None else int(batch * self._per_request)

    def _getting_on(self, tokens: int) -> int:
        return int(tokens / self._per_request)

    def _why_batch(self, tokens: int, fitting: int) -> str:
        if self._getting_on(tokens) < fitting:
            return f"with more, their prompts would not be read in iterations of {tokens:,} tokens"
        if fitting == _MOST_REQUESTS:
            return "the library's own default; more would fit"
        room = size_text(self._room(tokens))
        return f"as many of mean length ({self._mean:,.0f} tokens) fit into a KV cache of {room}"

    def _why_tokens(self, tokens: int) -> str:
        whole = (
            f"a KV cache in {self._recipe.kv_cache} excludes chunked context, so the longest "
            f"prompt ({self._limits.max_input_len} tokens) must fit into one"
        )
        later = "longer prompts are read in chunks" if self._chunked else whole
        if self._lengths is None or tokens == self._least:
            return later if not self._chunked else f"the usual number; {later}"
        return (
            f"{self._per_request:.1f} for each request in flight, its next token and its share of "
            f"the prompts that come in; {later}"
        )


def _rounded(requests: int) -> int:
    return max(1, requests // 8 * 8 if requests > 8 else requests)
