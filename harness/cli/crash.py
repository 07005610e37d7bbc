"""The last resort: an error that nobody expected becomes one sentence, and its traceback a file.

Nothing here raises: what cannot be found out or written is left out.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
_MAX_CHARS = 200_000  # of a traceback: deep recursion has thousands of lines
_MAX_MESSAGE_CHARS = 300


def last_words(error: BaseException, arguments: Sequence[str]) -> str:
    """The sentence about an unexpected error of the command line `arguments`, after its traceback
    was kept.
    """
    what = _safely(lambda: _one_line(error)) or type(error).__name__
    facts = _safely(lambda: list(_circumstances(arguments))) or []
    log = _keep("\n".join([*facts, "", _safely(lambda: _traceback(error)) or what, ""]))
    kept = (
        f"its traceback is kept in {log}; please send that file with a report of the mistake"
        if log
        else "its traceback could be kept nowhere"
    )
    return f"An unexpected error ended the command ({what}): {kept}."


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    if len(message) > _MAX_MESSAGE_CHARS:
        message = f"{message[:_MAX_MESSAGE_CHARS]}..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _traceback(error: BaseException) -> str:
    """Without the values of variables, and its middle left out where it is long."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if len(text) <= _MAX_CHARS:
        return text
    half = _MAX_CHARS // 2
    return f"{text[:half]}\n  [...]\n{text[-half:]}"


def _circumstances(arguments: Sequence[str]) -> Iterator[str]:
    """Command line, machine and versions; no values of environment variables."""
    from harness.machine.facts import library_versions

    yield f"time (UTC)  {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())}"
    yield f"command     {shlex.join([sys.argv[0], *arguments])}"
    yield f"folder      {_safely(os.getcwd)}"
    yield f"platform    {_safely(platform.platform)}"
    yield f"python      {platform.python_version()} ({sys.executable})"
    for name, version in (_safely(library_versions) or {}).items():
        yield f"version     {name} {version}"


def _keep(text: str) -> Path | None:
    """Write a new file under the cache, or else where temporary files go."""
    return _safely(lambda: _write(_crashes(), text)) or _safely(lambda: _write(None, text))


def _crashes() -> Path:
    from build_engine.paths import cache_root

    folder = cache_root() / "crashes"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(folder: Path | None, text: str) -> Path:
    prefix = time.strftime("enginebench-%Y%m%dT%H%M%SZ-", time.gmtime())
    handle, name = tempfile.mkstemp(prefix=prefix, suffix=".log", dir=folder)
    os.close(handle)
    Path(name).write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(name)


def _safely(ask: Callable[[], _T]) -> _T | None:
    """What `ask` finds, None when it fails: an error about an error would hide the first."""
    try:
        return ask()
    except Exception:
        return None
