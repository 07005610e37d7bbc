"""The answers of a test as ids and as text: what the conditions on their content look at.

An answer that was given many times is read once, so that a long test takes no longer to judge than
its dataset.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from build_engine.checkpoint.tokenizer import Tokenizer
    from build_engine.store.engine import Engine
    from runtime.executor import TokenIds


@dataclass(frozen=True, slots=True)
class Language:
    """What ids mean to an engine: its tokenizer, the size of the model's vocabulary, and the ids
    that end an answer.
    """

    tokenizer: Tokenizer
    vocab_size: int
    stop_ids: tuple[int, ...]

    @classmethod
    def of(cls, engine: Engine) -> Language:
        """That of an engine. Raises CheckpointError when its tokenizer is missing or broken."""
        return cls.at(engine.folder, engine.vocab_size, engine.stop_ids)

    @classmethod
    def at(cls, folder: Path, vocab_size: int, stop_ids: tuple[int, ...]) -> Language:
        """That of a model whose tokenizer is in a folder; raises as `of` does."""
        from build_engine.checkpoint.tokenizer import Tokenizer

        return cls(Tokenizer.load(folder), vocab_size, stop_ids)

    def knows(self, token_id: int) -> bool:
        """Whether the model can give this id, and it is a token."""
        return 0 <= token_id < self.vocab_size and self.tokenizer.knows(token_id)

    @property
    def forbidden_ids(self) -> frozenset[int]:
        """Special tokens that end no answer."""
        return self.tokenizer.special_ids.difference(self.stop_ids)


class Reading:
    """Distinct answers, how often each was given, and their text."""

    def __init__(self, answers: Iterable[TokenIds], language: Language) -> None:
        import numpy as np

        self.language = language
        counts = Counter(ids.tobytes() for ids in answers)
        self.answers: list[TokenIds] = [np.frombuffer(each, np.int32) for each in counts]
        """Distinct ones."""
        self.times: Sequence[int] = list(counts.values())
        """How often each was given."""

    @property
    def num_answers(self) -> int:
        """All that were given."""
        return sum(self.times)

    @cached_property
    def known_ids(self) -> list[list[int]]:
        """The ids of each distinct answer that are tokens, without stop ids."""
        drop = {*self.language.stop_ids, *self.unknown_ids}
        return [[i for i in ids.tolist() if i not in drop] for ids in self.answers]

    @cached_property
    def unknown_ids(self) -> list[int]:
        """Ids that the model does not have, or that are no token; sorted."""
        import numpy as np

        if not self.answers:
            return []
        found: list[int] = np.unique(np.concatenate(self.answers)).tolist()
        return [i for i in found if not self.language.knows(i)]

    @cached_property
    def texts(self) -> list[str]:
        """The text of each distinct answer."""
        return self.language.tokenizer.plain_texts(self.known_ids)

    def num_with(self, holds: Iterable[bool]) -> int:
        """Answers given of which something holds, by what holds of each distinct one."""
        return sum(times for times, each in zip(self.times, holds, strict=True) if each)
