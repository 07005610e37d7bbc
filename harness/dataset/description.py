"""What is found out about a set while it is prepared: counts, lengths, digests, how its prompts
compare with the ids that the source gives, and what it may therefore be called.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from harness.dataset.record import DatasetRecord, Difference, OfficialIds, PromptTokens
from harness.dataset.standing import SetFacts, notes, shortfalls

if TYPE_CHECKING:
    from build_engine.checkpoint.tokenizer import Tokenizer
    from harness.dataset.sources.sample import Purpose, Sample
    from harness.dataset.sources.source import Source
    from harness.rules.workload import Workload
    from runtime.executor import TokenIds

_SHOWN_DIFFERENCES = 5


def describe(
    workload: Workload,
    source: Source,
    samples: Sequence[Sample],
    prompts: Sequence[TokenIds],
    purpose: Purpose,
    tokenizer: Tokenizer,
    *,
    trial: bool,
) -> DatasetRecord:
    """The record of `samples` and their `prompts`, of which no file is written yet; `trial` is
    whether only the first samples were asked for.
    """
    lengths = sorted(len(ids) for ids in prompts)
    compared = sum(sample.official_ids is not None for sample in samples)
    differences = _differences(samples, prompts)
    facts = SetFacts(
        num_samples=len(samples),
        trial=trial,
        num_distinct=len({sample.article for sample in samples}),
        longest=lengths[-1],
        different_ids=len(differences),
        wrong_bos=sum(_num_bos(ids, tokenizer.bos_id) != 1 for ids in prompts),
        vocab_size=tokenizer.vocab_size,
    )
    lacking = shortfalls(workload, source, facts, purpose)
    pairs = zip(prompts, samples, strict=True)
    return DatasetRecord(
        schema_version=DatasetRecord.SCHEMA,
        workload=workload.name,
        purpose=purpose,
        benchmark=None if lacking or purpose == "calibration" else workload.benchmark,
        shortfalls=tuple(lacking),
        notes=() if lacking else tuple(notes(workload, source, facts, purpose)),
        tokenizer_notes=tokenizer.notes,
        source=source.name,
        source_kind=source.kind,
        source_digest=source.digest,
        origin=source.origin,
        num_samples=facts.num_samples,
        num_distinct=facts.num_distinct,
        all_articles=not trial and source.path is not None,
        digest=_digest((ids.tobytes(), sample.reference) for ids, sample in pairs),
        articles_digest=_digest((sample.article.encode(), sample.reference) for sample in samples),
        prompt_tokens=PromptTokens(
            min=lengths[0],
            median=lengths[len(lengths) // 2],
            max=lengths[-1],
            total=sum(lengths),
        ),
        official_ids=OfficialIds(compared=compared, different=len(differences)),
        first_differences=tuple(differences[:_SHOWN_DIFFERENCES]),
        files={},
    )


def _differences(samples: Sequence[Sample], prompts: Sequence[TokenIds]) -> list[Difference]:
    """Where our prompt ids part from the official file's own."""
    found: list[Difference] = []
    for number, (sample, prompt) in enumerate(zip(samples, prompts, strict=True)):
        if sample.official_ids is None:
            continue
        ours, theirs = prompt.tolist(), sample.official_ids.tolist()
        if ours != theirs:
            shorter = min(len(ours), len(theirs))
            parting = (i for i in range(shorter) if ours[i] != theirs[i])
            found.append(Difference(sample=number, token=next(parting, shorter)))
    return found


def _digest(parts: Iterable[tuple[bytes, str]]) -> str:
    digest = hashlib.sha256()
    for content, reference in parts:
        digest.update(content + b"\0" + reference.encode() + b"\0")
    return digest.hexdigest()


def _num_bos(ids: TokenIds, bos_id: int | None) -> int:
    """How many BOS tokens a prompt begins with."""
    return next((i for i, token in enumerate(ids.tolist()) if token != bos_id), len(ids))
