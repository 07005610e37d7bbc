"""How the tests of a run went over time, from `progress.jsonl`.

The file is written while the tests run and is no evidence: a line that was torn by a kill or a full
disk, or that another version wrote, is passed over.
"""

from __future__ import annotations

from pathlib import Path

from build_engine.files import Unreadable, parse_json, read_lossy
from build_engine.validation import Frozen, Invalid, Text, validated
from harness.figures import ProgressFigures

_MAX_BYTES = 2**28  # two lines a second of 400 bytes, for three days


class Point(Frozen):
    """The figures of one test at one moment; `test` is its folder's name: performance,
    performance-2, accuracy, TEST06.
    """

    test: Text
    figures: ProgressFigures


def read_timeline(path: Path) -> dict[str, tuple[ProgressFigures, ...]]:
    """The figures of each test in order of time, by the test's name, in the order in which the
    tests ran; {} where there is no such file.
    """
    try:
        lines = read_lossy(path, _MAX_BYTES).splitlines()
    except (Unreadable, FileNotFoundError):
        return {}
    found: dict[str, list[ProgressFigures]] = {}
    for line in lines:
        point = _point(line)
        if point is not None:
            found.setdefault(point.test, []).append(point.figures)
    return {test: tuple(figures) for test, figures in found.items()}


def _point(line: str) -> Point | None:
    try:
        content = parse_json(line)
        if not isinstance(content, dict):
            return None
        return validated(Point, {"test": content.pop("test", ""), "figures": content})
    except (Unreadable, Invalid):
        return None
