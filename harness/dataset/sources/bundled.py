"""The invented news that is shipped with the package, as many articles as are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from build_engine.errors import DatasetError
from harness.dataset.sources.sample import Purpose, Sample

NAME = "newsbrief"


def digest() -> str:
    """SHA-256 of the generator's source: its articles follow from it alone."""
    import newsbrief

    folder = Path(newsbrief.__file__).parent
    found = hashlib.sha256()
    for path in [*sorted(folder.glob("*.py")), *sorted(folder.glob("topics/*.py"))]:
        found.update(path.read_bytes())
    return found.hexdigest()


def samples(count: int | None, purpose: Purpose) -> Iterator[Sample]:
    """The first `count` articles, of which none serves two purposes; raises DatasetError when there
    is no count.
    """
    import newsbrief

    if count is None:
        raise DatasetError(f"`{NAME}` has no end; say how many samples with --count.")
    split = "validation" if purpose == "evaluation" else "calibration"
    for article in newsbrief.articles(split, count):
        yield Sample(article.article, article.highlights)
