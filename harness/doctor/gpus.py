"""The GPUs of this machine: what they are, whether their driver is new enough, and what slows or
fills them now. Nothing is said where there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from build_engine.libraries import installed_version
from build_engine.nvml import NoNvml
from build_engine.progress import size_text
from build_engine.trtllm.pin import PIN
from harness.doctor.check import Check, Level, advise, of_gpus, require
from harness.machine.condition import GpuCondition, read_conditions
from harness.machine.gpus import GpuReport

# The oldest driver of each CUDA major version, on which all its minor versions run
# (https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html).
OLDEST_DRIVER = {12: 525, 13: 580}
# Of its memory: what the driver keeps for itself is less.
_UNEXPLAINED = 0.1
_NOT_REPORTED = "not reported"


def gpu_checks(report: GpuReport) -> list[Check]:
    """What NVML says of the GPUs; nothing where there is none and none is wanted."""
    if report.blind:
        remedy = "reinstall NVIDIA's driver, or pip install nvidia-ml-py"
        return [Check("GPUs", Level.WARN, f"cannot be asked: {report.reason}", remedy)]
    if not report.gpus:
        finding = f"TensorRT-LLM is installed, and there is none: {report.reason}"
        remedy = "start the container with `--gpus all`"
        return [require("GPUs", False, finding, remedy)] if _is_wanted() else []
    try:
        gpus = read_conditions()
    except NoNvml as reason:  # it could be asked a moment ago
        return [Check("GPUs", Level.WARN, f"cannot be asked: {reason}", "start doctor again")]
    return [
        _which(report, gpus),
        _driver(report),
        *_mig(gpus),
        _ecc(report),
        _clocks(gpus),
        _power(gpus),
        _memory(gpus),
    ]


def _which(report: GpuReport, gpus: Sequence[GpuCondition]) -> Check:
    shown = "; ".join(f"{count} x {name}" for name, count in Counter(map(_title, gpus)).items())
    driver, cuda = report.driver or _NOT_REPORTED, report.cuda or _NOT_REPORTED
    return Check("GPUs", Level.PASS, f"{shown}; driver {driver}, CUDA up to {cuda}")


def _title(gpu: GpuCondition) -> str:
    sm = "" if gpu.sm is None else f" (sm_{gpu.sm})"
    if gpu.total_bytes is None:
        return f"{gpu.name}{sm}, memory {_NOT_REPORTED}"
    return f"{gpu.name}{sm}, {gpu.total_bytes / 2**30:.0f} GiB"


def _driver(report: GpuReport) -> Check:
    """Whether programs of the pinned CUDA run on this driver. A newer driver runs them all, and one
    of the same major version does by minor version compatibility; CUDA's compatibility package
    makes an older driver of a data-centre GPU report its own version of CUDA.
    """
    oldest = OLDEST_DRIVER[_numbers(PIN.cuda)[0]]
    found, cuda = _numbers(report.driver), _numbers(report.cuda)
    told = report.driver if found else f"version {report.driver or _NOT_REPORTED};"
    if cuda >= _numbers(PIN.cuda):
        return Check("driver", Level.PASS, f"{told} runs CUDA {PIN.cuda}")
    if found and found[0] >= oldest:
        how = f"runs CUDA {PIN.cuda} by minor version compatibility (needs {oldest} or newer)"
        return Check("driver", Level.PASS, f"{told} {how}")
    if not found and not cuda:
        finding = f"{told} CUDA {PIN.cuda} needs {oldest} or newer"
        return Check("driver", Level.WARN, finding, _driver_remedy(oldest))
    finding = f"{told} is too old for CUDA {PIN.cuda}, which needs {oldest} or newer"
    graded = require if _is_wanted() else advise
    return graded("driver", False, finding, _driver_remedy(oldest))


def _is_wanted() -> bool:
    """Whether GPU engines were meant to be built or executed here."""
    return installed_version("tensorrt-llm") is not None


def _driver_remedy(oldest: int) -> str:
    return (
        f"install driver {oldest} or newer on the host, or on a data-centre GPU the package "
        f"cuda-compat-{PIN.cuda.replace('.', '-')}"
    )


def _numbers(version: str | None) -> tuple[int, ...]:
    """590.48.01 as (590, 48, 1); () for what is no such version."""
    parts = (version or "").split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def _mig(gpus: Sequence[GpuCondition]) -> list[Check]:
    """Nothing for GPUs that cannot be divided."""
    able = [gpu for gpu in gpus if gpu.divided is not None]
    if not able:
        return []
    divided = [str(gpu.number) for gpu in able if gpu.divided]
    remedy = (
        f"for engines of the whole GPU switch MIG off: `sudo nvidia-smi -i {','.join(divided)} "
        "-mig 0`; an instance is a GPU type of its own, and needs its own target file"
    )
    finding = of_gpus((gpu.number, _mig_text(gpu)) for gpu in able)
    return [advise("MIG", not divided, finding, remedy)]


def _mig_text(gpu: GpuCondition) -> str:
    if not gpu.divided:
        return "off"
    if not gpu.instances:
        return "on, and without an instance: programs see no GPU"
    return f"on: programs see one of {', '.join(map(str, gpu.instances))}"


def _ecc(report: GpuReport) -> Check:
    problems = report.ecc_problems
    remedy = "switch ECC on before a closed datacenter run: `sudo nvidia-smi -e 1`, then restart"
    return advise("ECC", not problems, "; ".join(problems) or "on", remedy)


def _clocks(gpus: Sequence[GpuCondition]) -> Check:
    finding = of_gpus((gpu.number, _clock_text(gpu)) for gpu in gpus)
    remedy = (
        "see `nvidia-smi -q -d PERFORMANCE,POWER,TEMPERATURE`: cool the GPU, look at its power "
        "limit and supply, or reset application clocks with `sudo nvidia-smi -rac`"
    )
    return advise("clocks", not any(gpu.slowed for gpu in gpus), finding, remedy)


def _clock_text(gpu: GpuCondition) -> str:
    slowed = f", {_NOT_REPORTED} what slows it" if gpu.slowed is None else ""
    slowed = f"; {', '.join(gpu.slowed)}" if gpu.slowed else slowed
    return f"SM {gpu.sm_clock}, memory {gpu.memory_clock}{slowed}"


def _power(gpus: Sequence[GpuCondition]) -> Check:
    lowered = [gpu for gpu in gpus if _is_lowered(gpu)]
    finding = of_gpus((gpu.number, _power_text(gpu)) for gpu in gpus)
    commands = (
        f"`sudo nvidia-smi -i {gpu.number} -pl {gpu.default_power_limit_w:.0f}`" for gpu in lowered
    )
    return advise("power limit", not lowered, finding, f"give it back: {', '.join(commands)}")


def _is_lowered(gpu: GpuCondition) -> bool:
    limit, default = gpu.power_limit_w, gpu.default_power_limit_w
    return limit is not None and default is not None and limit < default


def _power_text(gpu: GpuCondition) -> str:
    limit, default = (
        _NOT_REPORTED if watts is None else f"{watts:.0f} W"
        for watts in (gpu.power_limit_w, gpu.default_power_limit_w)
    )
    kept = {True: "on", False: "off", None: _NOT_REPORTED}[gpu.persistent]
    return f"{limit}, the card's default is {default}; persistence mode {kept}"


def _memory(gpus: Sequence[GpuCondition]) -> Check:
    finding = of_gpus((gpu.number, _memory_text(gpu)) for gpu in gpus)
    remedy = "end what uses the GPU before an engine is built or measured"
    return advise("GPU memory", not any(map(_is_used, gpus)), finding, remedy)


def _is_used(gpu: GpuCondition) -> bool:
    return bool(gpu.holders) or _is_unexplained(gpu)


def _is_unexplained(gpu: GpuCondition) -> bool:
    if gpu.total_bytes is None or gpu.free_bytes is None:
        return False
    return gpu.free_bytes < (1 - _UNEXPLAINED) * gpu.total_bytes


def _memory_text(gpu: GpuCondition) -> str:
    if gpu.total_bytes is None or gpu.free_bytes is None:
        free = f"free memory {_NOT_REPORTED}"
    else:
        free = f"{size_text(gpu.free_bytes)} of {size_text(gpu.total_bytes)} free"
    held = ", ".join(map(str, gpu.holders))
    if not held and _is_unexplained(gpu):
        held = "held by processes that the driver does not show here"
    return f"{free}{f'; {held}' if held else ''}"
