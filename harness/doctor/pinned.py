"""TensorRT-LLM on this machine, held against the one release that everything is written for."""

from __future__ import annotations

import platform
import shutil

from build_engine.libraries import installed_version
from build_engine.trtllm.pin import PIN
from build_engine.trtllm.plan import PROGRAM
from harness.doctor.check import Check, Level, require
from harness.machine.container import cuda_toolkit, find_container

_FRAMEWORK, _LIBRARY = "TensorRT-LLM", "tensorrt-llm"
_NAMES = {
    "tensorrt": "TensorRT",
    "torch": "torch",
    "transformers": "transformers",
    "nvidia-modelopt": "ModelOpt",
}
_NEEDED = ("tensorrt", "nvidia-modelopt")  # without which no engine is compiled
_EXACT = ("tensorrt",)  # in another version of which none is either
_REMEDY = f"use the container {PIN.container}"


def pinned_checks(*, has_gpus: bool) -> list[Check]:
    """Each version beside the pinned one, where TensorRT-LLM is installed; else that it is not, and
    on a machine with a GPU whether this is a container.
    """
    version = installed_version(_LIBRARY)
    if version is None:
        remedy = f"to build engines for this GPU, {_REMEDY}" if has_gpus else ""
        absent = Check(_FRAMEWORK, Level.WARN, _absent(), remedy)
        return [absent, _container()] if has_gpus else [absent]
    return [
        _version(_FRAMEWORK, _LIBRARY, version, Level.FAIL),
        *(_library(name) for name in _NAMES),
        _compared("CUDA", cuda_toolkit(), PIN.cuda, Level.WARN),
        _compared("Python", platform.python_version(), PIN.python, Level.WARN),
        _program(),
        _container(),
    ]


def _absent() -> str:
    """The pin in one line."""
    return (
        f"not installed; built for {PIN.tensorrt_llm} with TensorRT {PIN.tensorrt}, CUDA "
        f"{PIN.cuda}, Python {PIN.python}, torch {PIN.torch}, transformers {PIN.transformers}, "
        f"ModelOpt {PIN.modelopt}, in its container {PIN.container}"
    )


def _library(name: str) -> Check:
    version = installed_version(name)
    severe = name in (_NEEDED if version is None else _EXACT)
    return _version(_NAMES[name], name, version, Level.FAIL if severe else Level.WARN)


def _version(shown: str, name: str, version: str | None, otherwise: Level) -> Check:
    good = version is not None and PIN.has(name, version)
    return _graded(shown, version, PIN.distributions[name], good, otherwise)


def _compared(shown: str, version: str | None, pinned: str, otherwise: Level) -> Check:
    good = version is not None and (version == pinned or version.startswith(f"{pinned}."))
    return _graded(shown, version, pinned, good, otherwise)


def _graded(shown: str, version: str | None, pinned: str, good: bool, otherwise: Level) -> Check:
    if good:
        return Check(shown, Level.PASS, f"{version}, as pinned")
    finding = f"{version or 'not found'}, and {pinned} is pinned"
    return Check(shown, otherwise, finding, _REMEDY)


def _program() -> Check:
    path = shutil.which(PROGRAM)
    return require(PROGRAM, path is not None, path or "not on PATH", _REMEDY)


def _container() -> Check:
    return Check("container", Level.PASS, str(find_container()))
