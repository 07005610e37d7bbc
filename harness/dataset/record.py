"""`dataset.json`: what a prepared dataset is, where it came from and what it may be called.

The record lies in the prepared folder and again, whole, in the record of every run on it. A folder
of another schema version is prepared anew, because its files may be laid out otherwise.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt, model_validator

from build_engine.records import Record
from build_engine.validation import Frozen, Name, Sha256, Text
from harness.dataset.sources.sample import Purpose

RECORD_NAME = "dataset.json"

SourceKind = Literal["bundled", "articles", "official", "rebuilt", "drawn"]
"""Invented news, articles of one's own, an official file, the hub's dataset, or lengths without a
text.
"""


class Origin(Frozen):
    """Where a set that was rebuilt comes from: the hub's dataset at a commit (None where only
    `datasets` knew it), or a folder; its configuration, its split and the rows of that split.
    """

    hub: Text | None = None
    folder: Text | None = None
    revision: Text | None = None
    config: Text
    split: Text
    split_samples: NonNegativeInt

    @model_validator(mode="after")
    def _one_place(self) -> Origin:
        if (self.hub is None) == (self.folder is None):
            raise ValueError("`hub` or `folder` is given, and not both.")
        return self


class PromptTokens(Frozen):
    """Lengths of the prompts in tokens; `median` is the upper one of an even number."""

    min: NonNegativeInt
    median: NonNegativeInt
    max: NonNegativeInt
    total: NonNegativeInt


class OfficialIds(Frozen):
    """For how many prompts the source gives ids of its own, and how many of ours differ."""

    compared: NonNegativeInt
    different: NonNegativeInt


class Difference(Frozen):
    """The first token of a sample at which our ids part from the source's own."""

    sample: NonNegativeInt
    token: NonNegativeInt


class DatasetRecord(Record):
    """What was found out about a prepared dataset.

    `benchmark` is the MLPerf benchmark whose whole evaluation set it is, `shortfalls` why it is not
    the benchmark's set for its purpose, `notes` what a person should look at in one that is;
    `tokenizer_notes` are points in which the files of the checkpoint disagree on its tokens.
    `all_articles` is whether every article of the source is in it: no --count, and no invented
    news, which has no end. `digest` is over prompt ids and references, `articles_digest` over
    articles and references; `files` are the SHA-256 of the prepared files by name.
    """

    SCHEMA: ClassVar[int] = 5

    workload: Name
    purpose: Purpose
    benchmark: Name | None
    shortfalls: tuple[Text, ...]
    notes: tuple[Text, ...]
    tokenizer_notes: tuple[Text, ...] = ()
    source: Text
    source_kind: SourceKind
    source_digest: Sha256
    origin: Origin | None
    num_samples: PositiveInt
    num_distinct: PositiveInt
    all_articles: bool
    digest: Sha256
    articles_digest: Sha256
    prompt_tokens: PromptTokens
    official_ids: OfficialIds
    first_differences: tuple[Difference, ...]
    files: dict[Text, Sha256]

    @property
    def own_set(self) -> bool:
        """Whether these are all of a user's own articles: the whole of what there is to ask."""
        return self.all_articles and self.source_kind == "articles"
