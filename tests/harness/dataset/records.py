"""A whole `dataset.json` without a dataset: one of the bundled articles that nobody prepared."""

from __future__ import annotations

from typing import Any

from harness.dataset.record import DatasetRecord, OfficialIds, PromptTokens


def make_record(num_samples: int = 16, **changes: Any) -> DatasetRecord:
    """The record of `num_samples` prompts of 5 to 20 tokens; `changes` are fields of it."""
    usual: dict[str, Any] = {
        "schema_version": DatasetRecord.SCHEMA,
        "workload": "newsbrief",
        "purpose": "evaluation",
        "benchmark": None,
        "shortfalls": (),
        "notes": (),
        "source": "newsbrief",
        "source_kind": "bundled",
        "source_digest": "0" * 64,
        "origin": None,
        "num_samples": num_samples,
        "num_distinct": num_samples,
        "all_articles": False,
        "digest": "0" * 64,
        "articles_digest": "0" * 64,
        "prompt_tokens": PromptTokens(min=5, median=12, max=20, total=12 * num_samples),
        "official_ids": OfficialIds(compared=0, different=0),
        "first_differences": (),
        "files": {},
    }
    return DatasetRecord(**usual | changes)
