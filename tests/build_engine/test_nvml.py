"""NVML is asked by the names that the real library has, and what it does not report is None."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from typing import Any

import pytest

from build_engine.nvml import NoNvml, open_nvml
from harness.machine.condition import SLOWED
from tests.nvml_double import CONSTANTS, Card, install_nvml, not_supported, nvml_module

real = pytest.mark.skipif(
    importlib.util.find_spec("pynvml") is None, reason="needs nvidia-ml-py, which `dev` installs"
)
FUNCTIONS = [name for name in vars(nvml_module(Card())) if name.startswith("nvmlD")]
FUNCTIONS += ["nvmlInit", "nvmlShutdown", "nvmlSystemGetDriverVersion"]
FUNCTIONS += ["nvmlSystemGetCudaDriverVersion"]


@real
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_double_has_the_functions_of_the_real_library(name: str) -> None:
    """The same parameters, in the same order."""
    ours = inspect.signature(getattr(nvml_module(Card()), name)).parameters
    theirs = inspect.signature(getattr(importlib.import_module("pynvml"), name)).parameters
    assert list(ours) == list(theirs)
    assert [each.default for each in ours.values()] == [each.default for each in theirs.values()]


@real
def test_constants_and_bits_are_those_of_the_real_library() -> None:
    nvml: Any = importlib.import_module("pynvml")
    assert {name: getattr(nvml, name) for name in CONSTANTS} == CONSTANTS
    assert issubclass(nvml.NVMLError, Exception)
    slowing = ["ApplicationsClocksSetting", "SwPowerCap", "HwSlowdown", "SwThermalSlowdown"]
    slowing += ["HwThermalSlowdown", "HwPowerBrakeSlowdown"]
    assert [getattr(nvml, f"nvmlClocksEventReason{name}") for name in slowing] == list(SLOWED)
    assert hasattr(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons")  # before driver 535


@real
def test_the_real_library_without_a_driver_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    try:
        with open_nvml() as nvml:
            assert isinstance(nvml.gpus(), list)
    except NoNvml as reason:
        assert "NVML" in str(reason)


def test_what_is_not_reported_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def garbled(handle: Any) -> str:
        return b"\xff".decode()

    install_nvml(monkeypatch, Card(), nvmlDeviceGetUUID=garbled, nvmlDeviceGetEccMode=None)
    with open_nvml() as nvml:
        (gpu,) = nvml.gpus()
        assert nvml.ask("nvmlDeviceGetUUID", gpu) is None
        assert nvml.ask("nvmlDeviceGetEccMode", gpu) is None
        assert nvml.ask("nvmlDeviceGetPersistenceMode", gpu) == 1


def test_a_library_that_does_not_close_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, Card(), nvmlShutdown=not_supported)
    with open_nvml() as nvml:
        assert nvml.driver == "590.48.01"


def test_without_the_library_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NoNvml) as caught, open_nvml():
        pass
    assert (str(caught.value), caught.value.remedy) == (
        "pynvml is not installed",
        "pip install nvidia-ml-py",
    )
