"""Articles of a dataset that a run does not evaluate: what a recipe can be calibrated on."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from build_engine.files import CACHE_REMEDY, cannot_write, write_beside
from build_engine.paths import cache_root
from harness.dataset.sources import bundled, jsonl

if TYPE_CHECKING:
    from pathlib import Path

    from harness.dataset.sources.sample import Sample
    from harness.dataset.sources.source import Source

_SHORT_DIGEST = 12


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The samples that a run asks for: the first `count` of a source, all of them when None."""

    source: Source
    count: int | None


@dataclass(frozen=True, slots=True)
class Unseen:
    """A .jsonl of articles that are not evaluated, and what they are, in words."""

    path: Path
    name: str


def unseen_articles(evaluated: Evaluated, count: int) -> Unseen | None:
    """The last `count` articles of a file of one's own, without any that is evaluated too; invented
    news fills up what the file lacks. None where the file has no article more, and for a
    benchmark's evaluation set, which is for nothing else.

    They are the last ones, so that another number of evaluated articles finds the same engine.
    Raises DatasetError for a broken file, OutputError where the cache takes no file.
    """
    source = evaluated.source
    if source.kind != "articles" or evaluated.count is None:
        return None
    samples = source.samples(None)
    asked = {_digest(sample) for sample in islice(samples, evaluated.count)}
    rest = deque((sample for sample in samples if _digest(sample) not in asked), maxlen=count)
    if not rest:
        return None
    name = f"the last {len(rest)} of the articles in {source.name}"
    invented = list(bundled.samples(count - len(rest), "calibration"))
    if invented:
        name += f", then {len(invented)} of {bundled.NAME}"
    content = b"".join(jsonl.lines([*rest, *invented]))
    digest = hashlib.sha256(content).hexdigest()[:_SHORT_DIGEST]
    path = cache_root() / "sources" / f"calibration-{digest}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_beside(path, content)
    except OSError as error:
        raise cannot_write(path, error, CACHE_REMEDY) from error
    return Unseen(path, name)


def _digest(sample: Sample) -> bytes:
    return hashlib.sha256(sample.article.encode()).digest()
