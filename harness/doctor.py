"""What `doctor` looks at: each check says what it found, and what to do if that is not enough."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass

from build_engine.backend import Backend, backends
from build_engine.libraries import installed_version
from build_engine.paths import cache_root
from build_engine.target import detect_cpu_compute, detect_target
from harness.loadgen.installed import installed_problem
from harness.machine.facts import machine_facts
from harness.machine.gpus import detect_gpus
from harness.rules.rounds import DEFAULT, LIBRARY, Round, load_round, loadgen_remedy

_MIN_FREE_GIB = 2.0  # the demo's engines and runs take well under one


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
        # two backends may need one library, which is looked for once
        *{check.name: check for b in backends().values() for check in _backend(b)}.values(),
        _loadgen(chosen or load_round(DEFAULT)),
        _cache(),
    ]


def _machine() -> Check:
    return Check("machine", True, str(machine_facts()))


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


def _backend(backend: Backend) -> list[Check]:
    """Each library of a backend that an extra installs; one line for one that comes otherwise."""
    if backend.extra is None:
        version = installed_version(backend.framework_library)
        finding = version or f"not installed; its engines {backend.absent}"
        return [Check(backend.framework, version is not None, finding, required=False)]
    remedy = f"pip install 'enginebench[{backend.extra}]'"
    versions = {name: installed_version(name) for name in backend.build_libraries}
    return [
        Check(name, version is not None, version or f"not installed ({remedy})", remedy)
        for name, version in versions.items()
    ]


def _loadgen(chosen: Round) -> Check:
    problem = installed_problem(chosen)
    fits = f"{installed_version(LIBRARY)}, for round {chosen.name}"
    return Check("MLPerf LoadGen", problem is None, problem or fits, loadgen_remedy(chosen))


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
