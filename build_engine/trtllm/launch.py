"""Becomes another program that dies with its parent, however that ends.

Run by its path, as `python -I launch.py PARENT PROGRAM [ARGUMENT ...]`.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could say that
        sys.exit(1)
    os.execvp(program, sys.argv[2:])
