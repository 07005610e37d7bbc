"""What `doctor` looks at: each check says what it found, and what to do if that is not enough."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass

from build_engine.libraries import installed_version
from build_engine.paths import cache_root
from build_engine.target import detect_cpu_compute, detect_target
from harness.loadgen.installed import installed_problem
from harness.machine.facts import machine_facts
from harness.machine.gpus import detect_gpus
from harness.rules.rounds import DEFAULT, LIBRARY, Round, load_round, loadgen_remedy

_MIN_FREE_GIB = 2.0  # the demo's engines and runs take well under one
_CPU_LIBRARIES = ("openvino", "openvino-genai", "nncf")


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. A check that is not `required` informs, and fails nothing."""

    name: str
    ok: bool
    finding: str
    remedy: str = ""
    required: bool = True


def all_checks(chosen: Round | None = None) -> list[Check]:
    """Every check, in the order that a person would ask. `chosen` is the round of runs to come."""
    return [
        _machine(),
        _target(),
        *_gpus(),
        _cpu_arithmetic(),
        *(_library(name) for name in _CPU_LIBRARIES),
        _loadgen(chosen or load_round(DEFAULT)),
        _tensorrt_llm(),
        _cache(),
    ]


def _machine() -> Check:
    facts = machine_facts()
    text = (
        f"{facts['cpu']}, {facts['num_cpus']} CPUs, {facts['memory_gib']} GiB, "
        f"{facts['operating_system']}, Python {facts['python']}"
    )
    return Check("machine", True, text)


def _target() -> Check:
    found = detect_target()
    text = f"{found.value or 'unknown'}: {found.reason}"
    remedy = "name the target yourself with --target"
    return Check("target", found.value is not None, text, remedy, required=False)


def _gpus() -> list[Check]:
    """What NVML says of the GPUs, and whether each has its ECC on; nothing where there is none."""
    report = detect_gpus()
    if report.blind:
        remedy = "reinstall NVIDIA's driver, or pip install nvidia-ml-py"
        return [Check("GPUs", False, f"cannot be asked: {report.reason}", remedy, required=False)]
    if not report.gpus:
        return []
    names = Counter(f"{gpu.name}, {gpu.memory_bytes / 2**30:.0f} GiB" for gpu in report.gpus)
    shown = "; ".join(f"{count} x {name}" for name, count in names.items())
    problems = report.ecc_problems
    return [
        Check("GPUs", True, f"{shown}; driver {report.driver}, CUDA up to {report.cuda}"),
        Check(
            "ECC",
            not problems,
            "; ".join(problems) or "on",
            "switch ECC on before a closed datacenter run: `sudo nvidia-smi -e 1`, then restart",
            required=False,
        ),
    ]


def _cpu_arithmetic() -> Check:
    found = detect_cpu_compute()
    return Check("CPU arithmetic", True, f"{found.value}: {found.reason}")


def _library(name: str) -> Check:
    version = installed_version(name)
    remedy = "pip install 'enginebench[cpu]'"
    return Check(name, version is not None, version or f"not installed ({remedy})", remedy)


def _loadgen(chosen: Round) -> Check:
    problem = installed_problem(chosen)
    fits = f"{installed_version(LIBRARY)}, for round {chosen.name}"
    return Check("MLPerf LoadGen", problem is None, problem or fits, loadgen_remedy(chosen))


def _tensorrt_llm() -> Check:
    version = installed_version("tensorrt-llm")
    absent = "not installed; GPU engines need its container"
    return Check("TensorRT-LLM", version is not None, version or absent, required=False)


def _cache() -> Check:
    root = cache_root()
    existing = next(path for path in [root, *root.absolute().parents] if path.exists())
    free_gib = shutil.disk_usage(existing).free / 2**30
    enough = False
    if not existing.is_dir():
        state = f"{root} cannot be made: {existing} is not a folder"
    elif not os.access(existing, os.W_OK):
        state = f"{root} is not writable"
    else:
        state, enough = f"{root}, {free_gib:.1f} GiB free", free_gib >= _MIN_FREE_GIB
    return Check("cache", enough, state, "set ENGINEBENCH_HOME to a folder with room")
