"""Becomes another program, which gets a signal when its parent ends, however that happens.

Run by its path, as `python -I launch.py PARENT SIGNAL PROGRAM [ARGUMENT ...]`.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)


def launched(command: list[str], ended: signal.Signals) -> list[str]:
    """The words that start `command` so that it gets the signal when the thread that started it
    ends.
    """
    return [sys.executable, "-I", __file__, str(os.getpid()), str(ended.value), *command]


if __name__ == "__main__":
    parent, number, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before we could say that
        sys.exit(1)
    os.execvp(program, sys.argv[3:])
