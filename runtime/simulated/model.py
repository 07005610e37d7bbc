"""What a simulated engine is: its time model, its KV cache, and the limits of its scheduler, by the
names that TensorRT-LLM gives them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, model_validator

from build_engine.validation import Frozen
from runtime.simulated.time_model import TimeModel

Policy = Literal["guaranteed_no_evict", "max_utilization", "static_batch"]


class EngineModel(Frozen):
    """An engine with in-flight batching.

    At most `max_batch_size` requests are in flight, and at most `max_num_tokens`, which here limits
    them too: each takes a token of an iteration.
    """

    time: TimeModel
    kv_blocks: PositiveInt
    tokens_per_block: PositiveInt = 32
    max_batch_size: PositiveInt
    max_num_tokens: PositiveInt
    """Tokens of one iteration, of prompts and of answers."""
    chunked_context: bool = True
    """Whether a prompt is computed in parts, whole blocks each, where it does not fit."""
    scheduler_policy: Policy = "guaranteed_no_evict"
    """TensorRT-LLM's CapacitySchedulerPolicy: a started request keeps its blocks to the end; or as
    many are started as there is room for now, and the latest is paused, its cache dropped and
    computed again, when blocks run out; or a batch, the prompts of one iteration, starts only when
    the last one has ended.
    """

    @model_validator(mode="after")
    def _can_go_on(self) -> EngineModel:
        if self.max_num_tokens < self.tokens_per_block:
            raise ValueError(
                "`max_num_tokens` must hold one block, `tokens_per_block`; it is "
                f"{self.max_num_tokens} and a block has {self.tokens_per_block}."
            )
        return self

    @property
    def max_in_flight(self) -> int:
        """Requests that can be in flight."""
        return min(self.max_batch_size, self.max_num_tokens)

    @property
    def pauses(self) -> bool:
        """Whether requests are started without a promise, and paused when blocks run out."""
        return self.scheduler_policy == "max_utilization"

    @property
    def waits_for_batch(self) -> bool:
        """Whether no prompt is computed while an answer is decoded."""
        return self.scheduler_policy == "static_batch"

    def refusal(self, prompt: int, answer: int) -> str | None:
        """Why a request of so many tokens could never be answered; None where it can."""
        if prompt < 1 or answer < 1:
            return "a request needs a token of a prompt and one of an answer"
        blocks = -(-(prompt + answer) // self.tokens_per_block)
        if blocks > self.kv_blocks:
            return (
                f"a prompt of {prompt} and an answer of {answer} need more KV cache than there is"
            )
        # What is paused comes back with what it had made as part of its prompt.
        longest = prompt + answer - 1 if self.pauses else prompt
        if not self.chunked_context and longest > self.max_num_tokens:
            return f"{longest} tokens in one part exceed `max_num_tokens`, {self.max_num_tokens}"
        return None
