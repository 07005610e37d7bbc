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
    """The public release; the container has a preview of the next."""
    torch_range: str
    """What its release notes accept, as pip writes it."""
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

    def has(self, distribution: str, version: str) -> bool:
        """Whether an installed version is the pinned one, whatever follows it (10.14.1.48 is
        10.14.1); of torch, whether it is one that the release accepts.
        """
        if distribution == "torch":
            from packaging.specifiers import SpecifierSet
            from packaging.version import InvalidVersion, Version

            try:
                found = Version(version)
            except InvalidVersion:
                return False
            return SpecifierSet(self.torch_range).contains(found, prereleases=True)
        pinned = self.distributions[distribution]
        return version == pinned or version.startswith((f"{pinned}.", f"{pinned}+"))


PIN = Pin(
    tensorrt_llm="1.2.1",
    released="2026-04",
    tensorrt="10.14.1",
    cuda="13.1",
    python="3.12",
    torch="2.9.1",
    torch_range=">=2.9.1,<=2.10.0a0",
    transformers="4.57.3",
    modelopt="0.37.0",
    container="nvcr.io/nvidia/tensorrt-llm/release:1.2.1",
    backend_removed="2026-07",
)
