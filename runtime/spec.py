"""What an executor is made from: small, frozen, and written as JSON for the process that will load
it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Fault = Literal["die", "error", "drop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVINOSpec:
    """An engine folder of the CPU target, executed by OpenVINO GenAI."""

    folder: Path
    num_threads: int | None = None
    """CPU threads of the engine; None leaves it to OpenVINO (one per physical core)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedSpec:
    """Answers from a time model: for tests, harness ceilings and rehearsals."""

    num_tokens: int = 128
    """Ids in every answer (fewer where the request asks for fewer)."""
    samples_per_s: float | None = None
    """Answers started a second; None answers at once."""
    ttft_s: float = 0.0
    """Seconds from the start of an answer to its first token."""
    tpot_s: float = 0.0
    """Seconds between two tokens of one answer."""
    fault: Fault | None = None
    """What goes wrong with answer number `fault_after`: the engine dies, the request fails, or the
    answer never comes.
    """
    fault_after: int = 0


ExecutorSpec = OpenVINOSpec | SimulatedSpec

_KINDS: dict[str, type[OpenVINOSpec] | type[SimulatedSpec]] = {
    "openvino": OpenVINOSpec,
    "simulated": SimulatedSpec,
}


def spec_to_json(spec: ExecutorSpec) -> str:
    """The spec as one JSON object with its `kind`."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(spec, cls))
    return json.dumps({"kind": kind, **dataclasses.asdict(spec)}, default=str)


def spec_from_json(text: str) -> ExecutorSpec:
    """The inverse of `spec_to_json`."""
    fields = json.loads(text)
    cls = _KINDS[fields.pop("kind")]
    if "folder" in fields:
        fields["folder"] = Path(fields["folder"])
    return cls(**fields)
