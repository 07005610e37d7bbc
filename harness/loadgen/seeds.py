"""The seeds that the installed LoadGen gives its tests, from LoadGen itself.

It applies its built-in settings once in a process, so another one is asked, once.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from build_engine.errors import EnvironmentFault
from build_engine.files import parse_json
from harness.rules.scenario import Scenario
from runtime.process import child_environment

_NAMES = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
_TIMEOUT_S = 60.0


@functools.cache
def installed_seeds() -> dict[str, int]:
    """The three seeds by their names in LoadGen's TestSettings.

    Raises EnvironmentFault, with LoadGen's own words, when it cannot be asked.
    """
    command = [sys.executable, "-m", "harness.loadgen.seeds"]
    top = Path(__file__).parents[2]  # not the user's folder, where `harness` may be another thing
    try:
        done = subprocess.run(
            command,
            cwd=top,
            env=child_environment(),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        seeds: dict[str, int] = parse_json(done.stdout)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise EnvironmentFault(str(error)) from None
    except ValueError:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EnvironmentFault(words[-1]) from None
    return seeds


def _tell() -> None:
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    settings.FromConfig(os.devnull, "any", Scenario.OFFLINE.loadgen_name, 1)
    sys.stdout.write(json.dumps({name: getattr(settings, name) for name in _NAMES}))


if __name__ == "__main__":
    _tell()
