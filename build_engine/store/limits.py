"""The sizes that an engine is compiled for."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from pydantic import ConfigDict

from build_engine.errors import ConfigError

DEFAULT_BATCH_SIZE = 64
DEFAULT_NUM_TOKENS = 2048

# more tokens or requests than any engine has; beyond int32 the backends overflow
_MAX_LIMIT = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """The sizes that an engine is compiled for: requests, and tokens per request or per iteration.

    `max_seq_len` counts the prompt and the answer, `max_num_tokens` the tokens of one iteration
    over the whole batch. Raises ConfigError for a size below 1 and for prompts that leave no room
    for an answer.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    max_batch_size: int = DEFAULT_BATCH_SIZE
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int = DEFAULT_NUM_TOKENS
    tensor_parallel: int = 1

    @classmethod
    def for_lengths(
        cls, max_input_len: int, max_new_tokens: int, max_position_embeddings: int
    ) -> EngineLimits:
        """For prompts and answers of these lengths, or as much of them as the model's positions
        allow: then prompts are shorter, and answers at most half.
        """
        max_seq_len = min(max_position_embeddings, max_input_len + max_new_tokens)
        answer = min(max_new_tokens, max_seq_len // 2)
        prompt = min(max_input_len, max_seq_len - answer)
        return cls(max_input_len=prompt, max_seq_len=max_seq_len)

    @property
    def max_new_tokens(self) -> int:
        """Tokens of the longest answer to the longest prompt."""
        return self.max_seq_len - self.max_input_len

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value < 1:
                raise ConfigError(f"limits.{item.name} is {value}; give 1 or more.")
            if value > _MAX_LIMIT:
                raise ConfigError(f"limits.{item.name} is {value}; give {_MAX_LIMIT} or less.")
        if self.max_input_len >= self.max_seq_len:
            raise ConfigError(
                f"limits.max_input_len {self.max_input_len} leaves no room for an answer within"
                " limits.max_seq_len"
                f" {self.max_seq_len}; lower the first or raise the second."
            )
