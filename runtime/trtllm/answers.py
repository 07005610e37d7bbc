"""What the library's responses mean for the requests that we were given.

The id that ended an answer belongs to it: the library leaves out the one it knows as `end_id`, and
keeps those it knows as stop words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runtime.executor import Unservable
from runtime.trtllm.library import NO_END, end_id

if TYPE_CHECKING:
    from runtime.executor import Request
    from runtime.trtllm.sizes import Sizes

_STEP_FAILED = "Encountered an error in forward"  # in forwardAsync or forwardSync, of all requests
_MARK = "[TensorRT-LLM][ERROR] "


@dataclass(slots=True)
class News:
    """What came of one request since it was last told."""

    ids: list[int] = field(default_factory=list)
    finished: bool = False
    error: str | None = None

    def add(self, response: Any, end: int, reasons: Any) -> None:
        """Take in one response of a request that ends at `end`; `reasons` is FinishReason."""
        if response.has_error():
            self._fail(first_line(response.error_msg))
            return
        result = response.result
        self.ids += result.output_token_ids[0]  # lists of lists, made anew by each access
        if not result.is_final:
            return
        self.finished = True
        reason = result.finish_reasons[0]
        if reason == reasons.END_ID and end != NO_END:
            self.ids.append(end)
        elif reason == reasons.CANCELLED:
            self._fail("the engine cancelled it")
        elif reason == reasons.TIMED_OUT:
            self._fail("the engine gave it up, as its time was over")

    def _fail(self, error: str) -> None:
        self.finished, self.error = True, error


def first_line(text: str) -> str:
    """What happened, of an error of the library; a stack of C++ follows it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].removeprefix(_MARK) if lines else "an error without a text"


def is_of_all(error: str) -> bool:
    """Whether an error is that of a step, which every request in it gets."""
    return _STEP_FAILED in error


def is_lasting(error: str) -> bool:
    """Whether the GPU is lost to this process: every later request would fail as well."""
    return "CUDA" in error


def unservable(request: Request, sizes: Sizes, *, evicts: bool) -> Unservable | None:
    """Why the engine cannot serve a request, or None when it can.

    The library would not say: it lowers `max_tokens` without a word and takes any id.
    """
    prompt, stops = request.prompt_ids, request.stop_ids
    min_new, max_new = request.min_new_tokens, request.max_new_tokens
    if len(prompt) == 0:
        return Unservable("prompt_ids", "its prompt is empty")
    if len(prompt) > sizes.max_prompt:
        reason = f"its prompt has {len(prompt)} tokens, the engine takes {sizes.max_prompt}"
        return Unservable("prompt_ids", reason)
    if not 0 <= prompt.min() <= prompt.max() < sizes.vocab_size:
        reason = f"its prompt has ids outside of the vocabulary of {sizes.vocab_size}"
        return Unservable("prompt_ids", reason)
    if stops and not 0 <= min(stops) <= max(stops) < sizes.vocab_size:
        reason = f"it is to stop at ids outside of the vocabulary of {sizes.vocab_size}"
        return Unservable("stop_ids", reason)
    if not 0 <= min_new <= max_new or max_new == 0:
        reason = f"it asks for at least {min_new} and at most {max_new} new tokens"
        return Unservable("min_new_tokens", reason)
    if min_new > 1 and len(stops) > 1 and end_id(request) != NO_END:
        return Unservable(
            "min_new_tokens",
            f"it asks for at least {min_new} new tokens and has {len(stops)} stop ids; the engine "
            f"holds back one of them only",
        )
    if len(prompt) + max_new > sizes.max_seq_len:
        return Unservable(
            "max_new_tokens",
            f"its prompt of {len(prompt)} tokens and {max_new} new ones exceed the engine's "
            f"{sizes.max_seq_len}",
        )
    if (
        evicts
        and request.streaming
        and not sizes.chunked_context
        and len(prompt) + max_new - 1 > sizes.max_prompt
    ):
        return Unservable(
            "max_new_tokens",
            f"its prompt of {len(prompt)} tokens with {max_new} new ones could not be computed "
            f"again after a pause, as it exceeds the engine's {sizes.max_prompt} of one iteration; "
            f"use the policy `guaranteed_no_evict`",
        )
    return None
