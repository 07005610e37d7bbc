"""What answering one request of a workload costs: operations, and bytes of KV cache.

With S tokens of the prompt, O of the answer, P weights of the linear layers, H of the head, L
layers and d = heads x head size (source of the counts: two operations, a product and a sum, for
each weight and token; Kaplan et al. 2020, arXiv 2001.08361, section 2.1):

- linear layers: 2 P (S + O - 1); the answer's last token is not read again;
- attention: 2 d L k S^2 for the prompt (a triangle of scores, and their values), k = E[S^2]/E[S]^2,
  and 4 d L (S + t) for token t of the answer;
- head: 2 H O; of the prompt only the last position has logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.roofline.memory import Elements

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig

NEWS_SPREAD = 1.25
"""E[S^2] / E[S]^2 of prompts with news articles: an assumption; 0.2 more or less changes the
operations of a request by less than 0.5 %.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of a workload's requests. `prompt` and `answer` are means, `longest_prompt` is the
    most; `spread` is E[prompt^2] / E[prompt]^2, 1 or more.
    """

    prompt: float
    answer: int
    longest_prompt: int
    spread: float = NEWS_SPREAD

    @property
    def request(self) -> float:
        """Tokens of a mean request at its end."""
        return self.prompt + self.answer

    @property
    def longest(self) -> int:
        """Tokens of the longest request."""
        return self.longest_prompt + self.answer


@dataclass(frozen=True, slots=True)
class Work:
    """Operations (FLOP) of one mean request, prompt and answer apart, and tokens of the KV cache.

    `linear` is what the linear layers compute, `other` attention and the head.
    """

    prompt_linear: float
    prompt_other: float
    answer_linear: float
    answer_other: float
    kv_tokens: float
    """Tokens of the cache that are read or written over the whole request: each iteration of the
    answer reads what is there, and everything is written once.
    """

    @classmethod
    def of(cls, config: LlamaConfig, lengths: Lengths) -> Work:
        """Of a model and a workload; the formulas are at the top of this file."""
        elements = Elements.of(config)
        prompt, answer = lengths.prompt, lengths.answer
        score = 2.0 * config.num_heads * config.head_dim * config.num_layers
        later = (answer - 1) * prompt + answer * (answer - 1) / 2  # sum of S + t, t = 1 .. O - 1
        return cls(
            prompt_linear=2.0 * elements.linear * prompt,
            prompt_other=score * lengths.spread * prompt**2 + 2.0 * elements.table,
            answer_linear=2.0 * elements.linear * (answer - 1),
            answer_other=2 * score * later + 2.0 * elements.table * (answer - 1),
            kv_tokens=later + prompt + answer,
        )

    @property
    def flops(self) -> float:
        """All operations."""
        return self.prompt_linear + self.prompt_other + self.answer_linear + self.answer_other
