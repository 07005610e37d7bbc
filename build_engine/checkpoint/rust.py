"""The tokenizers library on files that nobody has looked into: it panics on some, and a panic of
Rust code reaches Python as no Exception.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from build_engine.errors import CheckpointError, EnvironmentFault

_PANIC = ("pyo3_runtime", "PanicException")  # a class that no module exports
_NO_THREADS = "ThreadPoolBuildError"
_MAX_REASON_CHARS = 200


@contextlib.contextmanager
def sound(file: Path) -> Iterator[None]:
    """What the library fails at, by an exception or a panic, is a CheckpointError about `file`, but
    for threads that the system does not start, which are an EnvironmentFault.
    """
    try:
        yield
    except (MemoryError, CheckpointError):
        raise
    except BaseException as error:
        kind = type(error)
        if not isinstance(error, Exception) and (kind.__module__, kind.__name__) != _PANIC:
            raise
        reason = " ".join(str(error).split())
        if _NO_THREADS in reason:
            raise EnvironmentFault(
                "The system starts no more threads, which a tokenizer needs; raise that limit "
                "(ulimit -u, ulimit -v)."
            ) from None
        if len(reason) > _MAX_REASON_CHARS:
            reason = f"{reason[:_MAX_REASON_CHARS]}..."
        raise CheckpointError(
            f"{file} is damaged ({reason}); download the checkpoint again."
        ) from None


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Standard error goes nowhere: Rust tells of a panic there before anybody can catch it."""
    sys.stderr.flush()
    with contextlib.ExitStack() as undo:
        try:
            kept = os.dup(2)
        except OSError:  # it was closed before we began
            yield
            return
        undo.callback(os.close, kept)
        nowhere = undo.enter_context(tempfile.TemporaryFile())
        os.dup2(nowhere.fileno(), 2)
        undo.callback(os.dup2, kept, 2)
        yield
