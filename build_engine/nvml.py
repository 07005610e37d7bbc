"""NVIDIA's management library (NVML), asked so that what is not reported is None.

`nvidia-ml-py` (module `pynvml`) reads it and is imported when it is needed. A query that a GPU, its
driver or an older library does not know is no error: the answer is None, and nothing is made up.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from build_engine.errors import EnvironmentFault
from build_engine.libraries import import_fault


class NoNvml(EnvironmentFault):
    """Why NVML cannot be asked: the middle of a sentence. `remedy` is "" where there is none."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Memory:
    """All of a GPU's memory, and what is free of it; None is what is not reported."""

    total_bytes: int | None = None
    free_bytes: int | None = None


class Nvml:
    """NVML while it is open. A handle stands for a GPU, or for a MIG instance of one."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def ask(self, function: str, *arguments: Any) -> Any:
        """What a function of NVML answers, None where it is not reported."""
        known = getattr(self._module, function, None)
        if known is None:
            return None
        try:
            return known(*arguments)
        except (self._module.NVMLError, UnicodeError):
            return None

    def must(self, function: str, *arguments: Any) -> Any:
        """What a function answers without which nothing can be said. Raises NoNvml."""
        try:
            return getattr(self._module, function)(*arguments)
        except (self._module.NVMLError, UnicodeError) as error:
            raise NoNvml(f"NVML cannot describe the GPUs ({error})") from None

    def constant(self, name: str) -> Any:
        """A constant of the library."""
        return getattr(self._module, name)

    def gpus(self) -> list[Any]:
        """The handle of every GPU, as nvidia-smi numbers them. Raises NoNvml."""
        count = self.must("nvmlDeviceGetCount")
        return [self.must("nvmlDeviceGetHandleByIndex", number) for number in range(count)]

    def is_divided(self, gpu: Any) -> bool | None:
        """Whether MIG is on, so that programs see only the instances of a GPU; None for a GPU that
        cannot be divided.
        """
        mode = self.ask("nvmlDeviceGetMigMode", gpu)  # [now, after the next reset]
        return None if mode is None else bool(mode[0])

    def instances(self, gpu: Any) -> list[Any]:
        """The MIG instances of a GPU, none where MIG is off."""
        if not self.is_divided(gpu):
            return []
        places = range(self.ask("nvmlDeviceGetMaxMigDeviceCount", gpu) or 0)
        found = (self.ask("nvmlDeviceGetMigDeviceHandleByIndex", gpu, place) for place in places)
        return [instance for instance in found if instance is not None]

    def memory(self, handle: Any) -> Memory:
        """The memory of a GPU."""
        found = self.ask("nvmlDeviceGetMemoryInfo", handle)
        return Memory() if found is None else Memory(int(found.total), int(found.free))

    def name(self, handle: Any) -> str:
        """The name of a GPU. Raises NoNvml for one that does not say it."""
        return text(self.must("nvmlDeviceGetName", handle))

    def sm(self, handle: Any) -> int | None:
        """80 for compute capability 8.0."""
        capability = self.ask("nvmlDeviceGetCudaComputeCapability", handle)
        return None if capability is None else 10 * int(capability[0]) + int(capability[1])

    @property
    def driver(self) -> str | None:
        """Version of NVIDIA's driver."""
        found = self.ask("nvmlSystemGetDriverVersion")
        return None if found is None else text(found)

    @property
    def cuda(self) -> str | None:
        """The newest CUDA that the driver runs; NVML gives 12040 for 12.4."""
        found = self.ask("nvmlSystemGetCudaDriverVersion")
        return None if found is None else f"{int(found) // 1000}.{int(found) % 1000 // 10}"


@contextmanager
def open_nvml() -> Iterator[Nvml]:
    """NVML, closed afterwards. Raises NoNvml where the library or the driver is missing."""
    try:
        module: Any = importlib.import_module("pynvml")
    except ImportError as error:
        reason = import_fault(error, "pynvml")
        if reason is None:
            raise NoNvml("pynvml is not installed", "pip install nvidia-ml-py") from None
        again = "pip install --force-reinstall nvidia-ml-py"
        raise NoNvml(f"pynvml cannot be imported ({reason})", again) from None
    try:
        module.nvmlInit()
    except module.NVMLError as error:
        raise NoNvml(f"NVML does not start ({error})") from None
    try:
        yield Nvml(module)
    finally:
        with suppress(module.NVMLError):
            module.nvmlShutdown()


def text(value: str | bytes) -> str:
    """nvidia-ml-py before version 11.5 returned bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
