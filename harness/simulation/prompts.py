"""Prompts of a workload without its data: of its lengths, and without a text."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from build_engine.files import CACHE_REMEDY, cannot_write
from harness.dataset.prepared import Dataset, find, publish
from harness.dataset.record import DatasetRecord, OfficialIds, PromptTokens

if TYPE_CHECKING:
    from pathlib import Path

    from build_engine.roofline.work import Lengths
    from harness.rules.workload import Workload

_SHORTEST = 16


def drawn_lengths(lengths: Lengths, count: int, seed: int) -> list[int]:
    """So many lengths of prompts with the workload's mean and spread, in tokens: a gamma
    distribution, within the longest.
    """
    import numpy as np

    scale = lengths.prompt * (lengths.spread - 1)
    if scale == 0:
        return [round(lengths.prompt)] * count
    drawn = np.random.default_rng(seed).gamma(lengths.prompt / scale, scale, count)
    shortest = min(_SHORTEST, lengths.longest_prompt)
    found: list[int] = (
        np.clip(np.round(drawn), shortest, lengths.longest_prompt).astype(int).tolist()
    )
    return found


def drawn_dataset(
    workload: Workload, lengths: Lengths, count: int, seed: int, root: Path
) -> Dataset:
    """So many prompts of such lengths, all ids 0: found in the cache under `root`, or made. Raises
    OutputError when the cache takes no more.
    """
    import numpy as np

    drawn = drawn_lengths(lengths, count, seed)
    asked = [DatasetRecord.SCHEMA, workload.name, lengths.prompt, lengths.longest_prompt, drawn]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    folder = root / "datasets" / f"{workload.name}-drawn-{key[:12]}"
    prepared = find(folder)
    if prepared is not None:
        return prepared
    record = _record(workload, lengths, drawn, key)
    longest = np.zeros(max(drawn), dtype=np.int32)
    try:
        return publish(folder, [longest[:length] for length in drawn], [""] * count, record)
    except OSError as error:
        raise cannot_write(root, error, CACHE_REMEDY) from None


def _record(workload: Workload, lengths: Lengths, drawn: list[int], key: str) -> DatasetRecord:
    ordered = sorted(drawn)
    return DatasetRecord(
        schema_version=DatasetRecord.SCHEMA,
        workload=workload.name,
        purpose="evaluation",
        benchmark=None,
        shortfalls=("its prompts have drawn lengths and no text",),
        notes=(),
        source=f"prompts without text, of lengths drawn about {lengths.prompt:,g} tokens "
        f"({lengths.longest_prompt:,} at most)",
        source_kind="drawn",
        source_digest=key,
        origin=None,
        num_samples=len(drawn),
        num_distinct=len({*drawn}),
        all_articles=False,
        digest=key,
        articles_digest=key,
        prompt_tokens=PromptTokens(
            min=ordered[0],
            median=ordered[len(ordered) // 2],
            max=ordered[-1],
            total=sum(ordered),
        ),
        official_ids=OfficialIds(compared=0, different=0),
        first_differences=(),
        files={},
    )
