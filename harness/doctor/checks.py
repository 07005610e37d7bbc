"""What `doctor` looks at, in the order that a person would ask."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import configs
from build_engine.paths import cache_root
from build_engine.target import detect_cpu_compute, detect_target
from harness.doctor.check import Check, Level, advise, require
from harness.doctor.gpus import gpu_checks
from harness.doctor.libraries import library_checks, loadgen_check
from harness.doctor.pinned import pinned_checks
from harness.machine.facts import machine_facts
from harness.machine.gpus import detect_gpus
from harness.rules.rounds import DEFAULT, Round, load_round

_MIN_FREE_GIB = 2.0  # the demo's engines and runs take well under one


def all_checks(chosen: Round | None = None) -> list[Check]:
    """Every check. `chosen` is the round of runs to come."""
    report = detect_gpus()
    # two backends may need one library, and the pin says more of its own: each is said once
    libraries = {check.name: check for check in library_checks()}
    libraries |= {check.name: check for check in pinned_checks(has_gpus=bool(report.gpus))}
    return [
        _machine(),
        _target(),
        *gpu_checks(report),
        _cpu_arithmetic(),
        *libraries.values(),
        loadgen_check(chosen or load_round(DEFAULT)),
        _cache(),
    ]


def _machine() -> Check:
    return Check("machine", Level.PASS, str(machine_facts()))


def _target() -> Check:
    found = detect_target()
    text = f"{found.value or 'unknown'}: {found.reason}"
    shipped = Path(configs.__file__).with_name("targets")
    remedy = (
        "name the target yourself with --target; a GPU that has none gets a file with its fields "
        f'and their sources beside {shipped}/a30.yaml (docs/a30.md, "Another GPU")'
    )
    return advise("target", found.value is not None, text, remedy)


def _cpu_arithmetic() -> Check:
    found = detect_cpu_compute()
    return Check("CPU arithmetic", Level.PASS, f"{found.value}: {found.reason}")


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
    return require("cache", enough, state, "set ENGINEBENCH_HOME to a folder with room")
