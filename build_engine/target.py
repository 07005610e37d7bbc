"""Targets: what a GPU type (or the CPU) can do, and which of them this machine has.

Every figure of a shipped target comes from the document named in its `sources`. Detection returns
a value with its reason; a GPU without a target file gets no value rather than a plausible one.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from build_engine.config import Frozen, Name, Text, config_names, load_config
from build_engine.errors import EnvironmentFault
from build_engine.gpu import visible_gpus
from build_engine.nvml import NoNvml

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8", "fp8", "int4")

# NVIDIA's Model Optimizer support matrix: FP8 and W4A8 need "Ada and later"; Ada is sm_89.
FIRST_FP8_SM = 89

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Detected(Generic[T]):
    """Something found out about this machine, and how; the reason is shown to the user."""

    value: T
    reason: str


class Target(Frozen):
    """A GPU type, or the CPU, and the backend (`build_engine/backend.py`) that builds for it.

    `memory_gib` is what the driver offers to programs, in GiB; `bandwidth_gb_s` is in 10^9 bytes/s.
    `dense_tflops` holds peaks without sparsity in 10^12 operations/s (TOPS for int8 and int4), by
    precision; a precision is absent when the maker states no peak for it. `gpu_names` are the names
    that NVML reports. `ecc` says whether the memory has ECC. For a CPU all of these are facts of
    the machine, so they are None or empty.
    """

    name: Name
    title: Text
    kind: Literal["cpu", "gpu"]
    backend: Name
    sm: PositiveInt | None = None
    memory_gib: PositiveFloat | None = None
    bandwidth_gb_s: PositiveFloat | None = None
    dense_tflops: dict[str, PositiveFloat] = Field(default_factory=dict)
    tdp_w: PositiveInt | None = None
    gpu_names: tuple[Text, ...] = ()
    ecc: bool | None = None
    sources: Annotated[list[Text], Field(min_length=1)]

    @field_validator("dense_tflops")
    @classmethod
    def _known_precisions(cls, peaks: dict[str, float]) -> dict[str, float]:
        if unknown := sorted(set(peaks) - set(PRECISIONS)):
            raise ValueError(f"`{unknown[0]}` is not a precision; valid: {', '.join(PRECISIONS)}.")
        return peaks

    @model_validator(mode="after")
    def _consistent(self) -> Target:
        facts = {
            "sm": self.sm,
            "memory_gib": self.memory_gib,
            "bandwidth_gb_s": self.bandwidth_gb_s,
            "gpu_names": self.gpu_names,
        }
        if self.kind == "cpu" and (self.sm or self.gpu_names):
            raise ValueError("a target of kind cpu has no `sm` and no `gpu_names`; remove them.")
        if self.kind == "gpu" and (missing := [key for key, value in facts.items() if not value]):
            raise ValueError(f"a target of kind gpu needs `{missing[0]}`; add it.")
        if self.kind == "gpu" and "bf16" not in self.dense_tflops:
            raise ValueError("a target of kind gpu needs `dense_tflops.bf16`; add it.")
        if "fp8" in self.dense_tflops and self.sm is not None and self.sm < FIRST_FP8_SM:
            raise ValueError(f"sm_{self.sm} has no FP8 tensor cores; remove `dense_tflops.fp8`.")
        return self


def target_names() -> list[str]:
    """Names of the shipped targets."""
    return config_names("targets")


def load_target(name: str) -> Target:
    """A shipped target by name, or one from a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("targets", name, Target)


def detect_target() -> Detected[str | None]:
    """The target of this machine, by the GPUs that programs see: NVML is asked first, and where it
    cannot be, nvidia-smi; without a GPU it is "cpu".

    The value is None for a GPU that no shipped target names, and for GPUs of different types.
    """
    try:
        return _match(tuple(gpu.name for gpu in visible_gpus()), "NVML")
    except NoNvml as reason:
        found = _ask_nvidia_smi()
        if found.value:
            return _match(found.value, found.reason)
        return Detected("cpu", f"no NVIDIA GPU found: {reason}; {found.reason}")
    except EnvironmentFault as reason:
        return Detected("cpu", f"no NVIDIA GPU found: {reason}")


def detect_cpu_compute(cpuinfo: Path = Path("/proc/cpuinfo")) -> Detected[str]:
    """The arithmetic of CPU engines here: "bf16" where the CPU multiplies bf16, else "f32".

    `cpuinfo` is a file in the format of Linux's /proc/cpuinfo.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return Detected("f32", f"{cpuinfo} cannot be read ({error.strerror})")
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    wanted = ("amx_bf16", "avx512_bf16")
    if found := [flag for flag in wanted if flag in flags]:
        return Detected("bf16", f"the CPU has {' and '.join(found)}")
    return Detected("f32", f"the CPU has neither {' nor '.join(wanted)}")


def _match(gpu_names: tuple[str, ...], source: str) -> Detected[str | None]:
    kinds = sorted(set(gpu_names))
    reported = f"{source} reports {', '.join(f'{gpu_names.count(k)} x {k}' for k in kinds)}"
    if len(kinds) > 1:
        return Detected(
            None,
            f"{reported}: GPUs of different types; choose one with --target, "
            "and show programs that GPU alone (CUDA_VISIBLE_DEVICES=, with its UUID)",
        )
    for name in target_names():
        if kinds[0] in load_target(name).gpu_names:
            return Detected(name, reported)
    known = ", ".join(target_names())
    return Detected(None, f"{reported}, which no target names; known targets: {known}")


def _ask_nvidia_smi() -> Detected[tuple[str, ...]]:
    """GPU names from nvidia-smi with its name as the reason, or none with what was missing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Detected((), "nvidia-smi is not on PATH")
    command = [program, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Detected((), f"nvidia-smi does not run ({type(error).__name__})")
    names = tuple(line.strip() for line in answer.stdout.splitlines() if line.strip())
    if answer.returncode != 0:
        said = (answer.stderr.strip() or answer.stdout.strip() or "no message").splitlines()[0]
        return Detected((), f"nvidia-smi fails ({said})")
    return Detected(names, "nvidia-smi" if names else "nvidia-smi lists no GPU")
