"""The versions that everything about TensorRT-LLM here is written for, in one place.

Each was read in the release notes, the build files and the packages of that release; nothing of it
can be installed where this was written, so `enginebench doctor` compares a machine with it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One release of TensorRT-LLM and what it stands on; versions as the packages state them."""

    tensorrt_llm: str
    released: str
    """Month of the release, `YYYY-MM`."""
    tensorrt: str
    cuda: str
    python: str
    torch: str
    transformers: str
    modelopt: str
    """Without its extra `hf`, which excludes that version of transformers."""
    container: str
    backend_removed: str
    """Month in which upstream removed the backend that compiles engines, `YYYY-MM`."""

    @property
    def distributions(self) -> dict[str, str]:
        """Pinned version of each distribution, by the name that pip knows."""
        return {
            "tensorrt-llm": self.tensorrt_llm,
            "tensorrt": self.tensorrt,
            "torch": self.torch,
            "transformers": self.transformers,
            "nvidia-modelopt": self.modelopt,
        }


PIN = Pin(
    tensorrt_llm="1.2.1",
    released="2026-04",
    tensorrt="10.14.1",
    cuda="13.1",
    python="3.12",
    torch="2.9.1",
    transformers="4.57.3",
    modelopt="0.37.0",
    container="nvcr.io/nvidia/tensorrt-llm/release:1.2.1",
    backend_removed="2026-07",
)
