"""The seeds that the installed LoadGen gives its tests, from LoadGen itself.

It applies its built-in settings once in a process, so another one is asked.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

_NAMES = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
_TIMEOUT_S = 60.0


def installed_seeds() -> dict[str, int] | None:
    """The three seeds by their names in LoadGen's TestSettings; None when it cannot be asked."""
    command = [sys.executable, "-m", "harness.loadgen.seeds"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    seeds: dict[str, int] = json.loads(done.stdout)
    return seeds


def _tell() -> None:
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    settings.FromConfig(os.devnull, "any", "Offline", 1)
    sys.stdout.write(json.dumps({name: getattr(settings, name) for name in _NAMES}))


if __name__ == "__main__":
    _tell()
