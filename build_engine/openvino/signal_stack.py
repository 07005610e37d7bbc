"""The stack on which this thread handles signals, kept as it was.

OpenVINO's CPU plugin gives the thread that loads it a stack of its own. Where several come and go,
as in a build, the last one to go leaves one behind that is free already, and the next signal,
Ctrl-C too, would end the process with SIGSEGV (seen with 2026.4.1).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """A block, or a function, that uses OpenVINO in this process and thread."""
    library, before = ctypes.CDLL(None), _Stack()
    library.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        library.sigaltstack(ctypes.byref(before), None)
