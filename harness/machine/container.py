"""Whether this is a container, and which of NVIDIA's software it says that it brings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from build_engine.errors import EnvironmentFault
from build_engine.files import read_json
from build_engine.validation import Invalid, validated

_MARKS = {"Docker": Path("/.dockerenv"), "Podman": Path("/run/.containerenv")}
_TOOLKIT = Path("/usr/local/cuda/version.json")
_IMAGE = {"NVIDIA_PYTORCH_VERSION": "PyTorch image", "NVIDIA_BUILD_ID": "build"}


class _Part(BaseModel):
    version: str


class _Toolkit(BaseModel):
    """What is read of the toolkit's own list of its parts."""

    cuda: _Part


@dataclass(frozen=True, slots=True)
class Container:
    """What runs this container (None: it is none, or does not say), and the words in which NVIDIA's
    images name their release.
    """

    runtime: str | None
    image: str

    def __str__(self) -> str:
        told = f", NVIDIA {self.image}" if self.image else ""
        return f"{f'in {self.runtime}' if self.runtime else 'none that says so'}{told}"


def find_container() -> Container:
    """By the files that Docker and Podman leave, and by the variables of NVIDIA's images."""
    runtime = next((name for name, mark in _MARKS.items() if mark.exists()), None)
    found = ((what, os.environ.get(variable)) for variable, what in _IMAGE.items())
    return Container(runtime, ", ".join(f"{what} {value}" for what, value in found if value))


def cuda_toolkit() -> str | None:
    """Version of the CUDA that programs are built with here: that of NVIDIA's image, or of the
    toolkit in its usual place; None where neither says it.
    """
    if version := os.environ.get("CUDA_VERSION"):
        return version
    try:
        parts = read_json(_TOOLKIT, EnvironmentFault, "install the toolkit again")
        return validated(_Toolkit, parts).cuda.version
    except (OSError, EnvironmentFault, Invalid):
        return None
