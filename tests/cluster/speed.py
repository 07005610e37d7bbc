"""What a second host brings, with one core each: `python -m tests.cluster.speed`; root.

`scaling` over two network namespaces of this machine, several times, with the engine of the bundled
model. The hosts share the memory and its bandwidth, which two real ones would not.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from build_engine.errors import EXIT_FAILED, EXIT_OK
from harness.studies.scaling import read_scaling
from tests.cluster.hosts import PORT, Host, NotPermitted, ray_cluster

GOAL = 1.8


def main() -> int:
    """Measure, and tell; EXIT_FAILED where the median misses the goal."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.speed", description=__doc__)
    parser.add_argument("--count", type=int, default=800, help="samples of each run")
    parser.add_argument("--repeats", type=int, default=3, help="of both runs")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        with ray_cluster(folder) as (head, _):
            ratios = [
                _ratio(head, folder / f"round-{number}", options.count)
                for number in range(options.repeats)
            ]
    except NotPermitted as reason:
        sys.stderr.write(f"No network namespaces here: {reason}\n")
        return EXIT_FAILED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    median = statistics.median(ratios)
    sys.stdout.write(f"median {median:.2f}, goal {GOAL}\n")
    return EXIT_OK if median >= GOAL else EXIT_FAILED


def _ratio(head: Host, output: Path, count: int) -> float:
    """Tokens/s of two hosts as a multiple of those of one."""
    model = ["--model", "newsbrief", "--recipe", "int8_wo", "--count", str(count)]
    where = ["--replicas", "1,2", "--ray-address", f"{head.address}:{PORT}"]
    done = head.run(
        *(sys.executable, "-m", "enginebench", "scaling", *model, *where, "--output", str(output)),
        timeout_s=1800.0,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    one, two = (step.tokens_per_s or 0.0 for step in read_scaling(output).steps)
    sys.stdout.write(f"{one:,.0f} and {two:,.0f} tokens/s: {two / one:.2f}\n")
    sys.stdout.flush()
    return two / one


if __name__ == "__main__":
    sys.exit(main())
