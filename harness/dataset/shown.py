"""One prompt of a prepared dataset as it is sent: its text, made again from its article, and the
ids that the engine gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import DatasetError, UsageError
from build_engine.validation import counted
from harness.dataset.preparation import prompt_texts

if TYPE_CHECKING:
    from pathlib import Path

    from harness.dataset.prepared import Dataset
    from harness.dataset.sources.sample import Purpose
    from harness.dataset.sources.source import Source
    from harness.rules.workload import Workload


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A prompt: the text before it is tokenised, and its ids with those that the tokenizer adds."""

    text: str
    ids: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        """Plain JSON values."""
        return {"text": self.text, "ids": list(self.ids)}


def shown_prompt(
    prepared: Dataset,
    workload: Workload,
    source: Source,
    model_folder: Path,
    number: int,
    purpose: Purpose = "evaluation",
) -> ShownPrompt:
    """The prompt of this number, 1 for the first. Raises UsageError for a number that the dataset
    does not have, DatasetError where the prepared ids are not those of the text.
    """
    if not 1 <= number <= prepared.num_samples:
        raise UsageError(
            f"--show is {number}, and the dataset has "
            f"{counted(prepared.num_samples, 'prompt')}; give 1 to {prepared.num_samples}."
        )
    *_, sample = source.samples(number, purpose)
    tokenizer = Tokenizer.load(model_folder)
    [text] = prompt_texts(workload, [sample], tokenizer)
    again = tokenizer.encode(text, add_special_tokens=not workload.chat_template)
    ids = prepared.prompts()[number - 1]
    if ids.tolist() != again.tolist():
        raise DatasetError(
            f"{prepared.folder} has other ids for prompt {number} than its text gives now; remove "
            "that folder, and prepare the dataset again."
        )
    return ShownPrompt(text, tuple(ids.tolist()))
