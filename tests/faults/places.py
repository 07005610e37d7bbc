"""Streams that are closed or full, disks that are full or read-only, and little memory."""

from __future__ import annotations

import random
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from build_engine.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_OK, EXIT_USAGE
from tests.faults.command import Place
from tests.faults.trials import BUILD, RUN, Bench, Skipped, Trial, leftovers, untrue

_STREAMS = (
    ">&-",
    "2>&-",
    ">&- 2>&-",
    "<&- >&- 2>&-",
    ">/dev/full",
    "2>/dev/full",
    ">/dev/full 2>/dev/full",
    "| head -1",
    "2>&1 | head -1",
    "| true",
)
_COMMANDS: tuple[tuple[int, tuple[object, ...]], ...] = (
    (EXIT_OK, ("targets", "--json")),
    (EXIT_OK, ("recipes", "--json")),
    (EXIT_OK, ("doctor", "--json")),
    (EXIT_OK, ("doctor", "--system-json")),
    (EXIT_OK, ("engines", "list", "--json")),
    (EXIT_OK, ("engines", "verify", "--json")),
    (EXIT_OK, ("dataset", "--count", 4, "--json")),
    (EXIT_OK, (*BUILD, "--json")),
    (EXIT_OK, (*RUN, "--count", 4, "--mode", "performance", "--json", "--output", "run")),
    (EXIT_OK, ("build", "--help")),
    (EXIT_USAGE, ("no-such-command", "--json")),
)
"""Each with its exit code when nothing is in its way."""
_STREAMS_EACH = 3
_SMALL_BYTES = 300_000
_UNWRITABLE = "/proc/enginebench"  # for root, too


def trials(bench: Bench, seed: int) -> Iterator[Trial]:
    """Each command with some of the streams; each place with each command that writes there."""
    chance = random.Random(seed)
    for code, words in _COMMANDS:
        for redirect in chance.sample(_STREAMS, _STREAMS_EACH):
            name = f"{' '.join(map(str, words[:2]))} {redirect}"
            yield Trial("streams", name, partial(with_streams, bench, code, words, redirect))
    for gib in (0.2, 0.3, 0.6):
        for words in (BUILD, (*RUN, "--count", 4, "--output", "run"), ("dataset",), ("targets",)):
            name = f"{words[0]} in {gib} GiB"
            yield Trial("memory limit", name, partial(_memory, words, gib))
    for size in ("64k", "1m", "3m"):
        yield Trial("disk full", f"build in {size}", partial(_full_home, size))
        yield Trial("disk full", f"run in {size}", partial(_full_output, bench, size))
    yield Trial("disk full", "files of 300 kB, build", partial(_limited, bench, BUILD))
    yield Trial("disk full", "files of 300 kB, dataset", partial(_limited, bench, ("dataset",)))
    yield Trial("read-only", "cache", _read_only_home)
    yield Trial("read-only", "output", partial(_unwritable_output, bench))
    yield Trial("read-only", "mounted", partial(_read_only_output, bench))


def with_streams(
    bench: Bench, usual: int, words: Sequence[object], redirect: str, folder: Path
) -> list[str]:
    full = redirect.startswith(">/dev/full") and usual == EXIT_OK
    ended = bench.place(folder).run(*words, redirect=redirect)
    return ended.problems(EXIT_ENVIRONMENT if full else usual)


def _memory(words: Sequence[object], gib: float, folder: Path) -> list[str]:
    place = Place(folder)
    limit = (resource.RLIMIT_AS, int(gib * 2**30))
    ended = place.run(*words, limits=(limit,))
    return ended.problems(EXIT_OK, EXIT_ENVIRONMENT) + _left(place)


def _full_home(size: str, folder: Path) -> list[str]:
    with _mounted(folder / "home", f"size={size}"):
        place = Place(folder)
        found = place.run(*BUILD).problems(EXIT_ENVIRONMENT)
        return found + _left(place)


def _full_output(bench: Bench, size: str, folder: Path) -> list[str]:
    """Most of a run's files are small: one that fits is no fault."""
    with _mounted(folder / "small", f"size={size}"):
        words = (*RUN, "--count", 40, "--output", folder / "small" / "run")
        codes = (EXIT_OK, EXIT_ENVIRONMENT, EXIT_FAILED)
        return bench.place(folder).run(*words).problems(*codes) + untrue(folder / "small" / "run")


def _limited(bench: Bench, words: Sequence[object], folder: Path) -> list[str]:
    place = Place(folder)
    limit = (resource.RLIMIT_FSIZE, _SMALL_BYTES)
    found = place.run(*words, limits=(limit,)).problems(EXIT_ENVIRONMENT)
    return found + _left(place) + place.run(*words).problems(EXIT_OK)


def _read_only_home(folder: Path) -> list[str]:
    place = Place(folder, {"ENGINEBENCH_HOME": _UNWRITABLE})
    return place.run(*BUILD).problems(EXIT_ENVIRONMENT)


def _unwritable_output(bench: Bench, folder: Path) -> list[str]:
    words = (*RUN, "--count", 4, "--output", f"{_UNWRITABLE}/run")
    return bench.place(folder).run(*words).problems(EXIT_ENVIRONMENT)


def _read_only_output(bench: Bench, folder: Path) -> list[str]:
    with _mounted(folder / "ro", "ro"):
        words = (*RUN, "--count", 4, "--output", folder / "ro" / "run")
        return bench.place(folder).run(*words).problems(EXIT_ENVIRONMENT)


def _left(place: Place) -> list[str]:
    return leftovers(place.home) if place.home.exists() else []


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at `folder`. Raises Skipped where that may not be."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"nothing may be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
