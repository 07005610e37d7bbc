"""A signal after OpenVINO was at work in this process is handled like any other."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, signal
import openvino as ov
from build_engine.openvino.signal_stack import signal_stack_kept

@signal_stack_kept()
def work():
    first, second = ov.Core(), ov.Core()
    for core in (first, second):
        core.get_property("CPU", "FULL_DEVICE_NAME")  # which loads the plugin
    del core, first  # not the one that came last
    del second

work()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_plugins_that_come_and_go_leave_ctrl_c_as_it_was() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
