"""A prepared dataset: a folder with prompt ids and references, and the record of what they are.

It is there whole or not at all, and whether it still is as it was written can be asked.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.digest import file_sha256, hash_file
from build_engine.errors import DatasetError
from build_engine.files import read_json, write_json
from build_engine.records import read_record
from build_engine.temporary import mark, sweep
from harness.dataset.prompts import FILES as PROMPT_FILES
from harness.dataset.prompts import load_prompts, prompt_lengths, save_prompts
from harness.dataset.record import RECORD_NAME, DatasetRecord

if TYPE_CHECKING:
    from build_engine.store.limits import EngineLimits
    from harness.rules.workload import Workload
    from runtime.executor import TokenIds

_REFERENCES = "references.json"
_CONTENT = (_REFERENCES, *PROMPT_FILES)
_MAX_REFERENCES_BYTES = 1 << 30  # a million summaries of 1 kB
_UNFINISHED = ".preparing"
_REMEDY = "prepare it again with `enginebench dataset`"


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset: a folder, and what was recorded about it."""

    folder: Path
    record: DatasetRecord

    @classmethod
    def load(cls, folder: Path) -> Dataset:
        """The dataset that was prepared in `folder`; raises DatasetError where there is none that
        this version reads.
        """
        path = folder / RECORD_NAME
        try:
            return cls(folder, read_record(path, DatasetRecord, DatasetError, _REMEDY))
        except FileNotFoundError:
            raise DatasetError(f"There is no prepared dataset in {folder}; {_REMEDY}.") from None

    @property
    def is_whole(self) -> bool:
        """Whether its files are as they were written."""
        try:
            return {name: file_sha256(self.folder / name) for name in _CONTENT} == self.record.files
        except OSError:
            return False

    @property
    def num_samples(self) -> int:
        """Samples in it."""
        return self.record.num_samples

    @property
    def digest(self) -> str:
        """SHA-256 of the prompt ids and references."""
        return self.record.digest

    @property
    def max_prompt_len(self) -> int:
        """Tokens of the longest prompt."""
        return self.record.prompt_tokens.max

    @property
    def benchmark(self) -> str | None:
        """The MLPerf benchmark whose whole evaluation set this is, else None."""
        return self.record.benchmark

    @property
    def shortfalls(self) -> list[str]:
        """Why it is not the benchmark's set for its purpose; none when it is."""
        return list(self.record.shortfalls)

    def prompts(self) -> list[TokenIds]:
        """Prompt ids of each sample, int32 of shape [prompt length]."""
        return load_prompts(self.folder)

    def references(self) -> list[str]:
        """The reference summary of each sample."""
        path = self.folder / _REFERENCES
        references: list[str] = read_json(path, DatasetError, _REMEDY, _MAX_REFERENCES_BYTES)
        return references

    def check_fits(self, workload: Workload, limits: EngineLimits, positions: int) -> None:
        """Raise DatasetError when a prompt is longer than the workload allows, than the model's
        `positions` hold with its answer, or than an engine with `limits` takes.
        """
        longest, answer = self.max_prompt_len, workload.max_new_tokens
        if longest + answer > positions:
            room = positions - longest
            shorter = f", or ask for less: --set workload.max_new_tokens={room}" if room > 0 else ""
            raise DatasetError(
                f"The longest prompt has {longest} tokens, and the model's {positions} positions "
                f"leave {max(room, 0)} for an answer of {answer}; shorten that article{shorter}."
            )
        self.check_prompts(workload)
        remedy = f"build an engine with --max-input-len {longest} --max-new-tokens {answer}"
        self._check_lengths(limits.max_input_len, "the engine", remedy)
        room = limits.max_seq_len - longest
        if room < answer:
            raise DatasetError(
                f"The longest prompt has {longest} tokens and leaves {room} of the engine's "
                f"{limits.max_seq_len} for an answer of {answer}; {remedy}."
            )

    def check_prompts(self, workload: Workload) -> None:
        """Raise DatasetError when a prompt is longer than the workload allows."""
        self._check_lengths(
            workload.max_input_tokens,
            f"workload `{workload.name}`",
            f"shorten those articles, or use --set workload.max_input_tokens={self.max_prompt_len}",
        )

    def check_ids(self, vocab_size: int) -> None:
        """Raise DatasetError when a prompt has an id for which the model has no embedding."""
        largest = max(int(ids.max()) for ids in self.prompts())
        if largest >= vocab_size:
            raise DatasetError(
                f"The tokenizer gives id {largest}, and the model has {vocab_size} tokens; take "
                "the tokenizer.json that belongs to the checkpoint."
            )

    def _check_lengths(self, limit: int, whose: str, remedy: str) -> None:
        if self.max_prompt_len <= limit:
            return
        lengths = prompt_lengths(self.folder)
        too_long = sum(length > limit for length in lengths)
        raise DatasetError(
            f"{too_long} of {len(lengths)} prompts are longer than the limit of {whose}, {limit} "
            f"tokens (the longest has {self.max_prompt_len}); {remedy}."
        )


def find(folder: Path) -> Dataset | None:
    """What was prepared in `folder` earlier; None when there is nothing, when another version of
    enginebench wrote it, or when it is not as it was written.
    """
    try:
        found = Dataset.load(folder)
    except DatasetError:
        return None
    return found if found.is_whole else None


def publish(
    folder: Path, prompts: Sequence[TokenIds], references: Sequence[str], record: DatasetRecord
) -> Dataset:
    """Write beside, then rename; `record` is given its `files` here. Raises OSError, and leaves
    nothing then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent, _UNFINISHED)
    temporary = folder.with_name(f"{_UNFINISHED}{mark()}{secrets.token_hex(4)}")
    try:
        temporary.mkdir()  # readable to whom the umask allows, as the engines are
        save_prompts(temporary, prompts)
        (temporary / _REFERENCES).write_text(json.dumps(references), encoding="utf-8")
        files = {name: hash_file(temporary / name) for name in _CONTENT}
        record = record.model_copy(update={"files": files})
        write_json(temporary / RECORD_NAME, record.to_json())
        if find(folder) is None and folder.exists():
            shutil.rmtree(folder)  # a damaged one
        temporary.rename(folder)
    except OSError:
        if find(folder) is None:  # unless another process made the same one meanwhile
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Dataset(folder, record)
