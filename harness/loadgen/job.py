"""What the supervisor tells the LoadGen process, as JSON: the job to load, then the test to run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.loadgen.settings import LoadgenPlan
from runtime.spec import ExecutorSpec, spec_from_json, spec_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one LoadGen process loads before its test."""

    executor: ExecutorSpec
    dataset: Path
    """Folder of a prepared dataset."""
    num_samples: int
    max_new_tokens: int
    min_new_tokens: int
    stop_ids: tuple[int, ...]
    warmup_samples: int
    """Requests of the warm-up batch, which runs twice after one single request; fewer where that
    one was slow.
    """
    stall_s: float = 120.0
    """Seconds without any token, while queries are open, after which the engine counts as hung;
    at least ten times the latency of one request alone.
    """

    def to_json(self) -> str:
        """One JSON object."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["executor"] = spec_to_json(self.executor)
        return json.dumps(fields, default=str)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        fields["executor"] = spec_from_json(fields["executor"])
        fields["dataset"] = Path(fields["dataset"])
        fields["stop_ids"] = tuple(fields["stop_ids"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class StartTest:
    """The test to run once the engine is warm."""

    plan: LoadgenPlan
    folder: Path
    """Where user.conf is and LoadGen's logs go."""
    audit_config: Path | None = None
    """A compliance test's audit.config; None keeps LoadGen from picking one up from the working
    directory.
    """

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(
            {
                "plan": dataclasses.asdict(self.plan),
                "folder": str(self.folder),
                "audit_config": str(self.audit_config) if self.audit_config else None,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> StartTest:
        """The inverse of `to_json`."""
        fields: dict[str, Any] = json.loads(text)
        audit = fields["audit_config"]
        plan = LoadgenPlan.from_json(fields["plan"])
        return cls(plan, Path(fields["folder"]), Path(audit) if audit else None)


@dataclass(frozen=True, slots=True)
class Probe:
    """What loading and warming up showed: a first estimate for plans, not a result."""

    load_s: float
    """Seconds until the engine was ready."""
    latency_s: float
    """One request alone, from submission to its last token."""
    samples_per_s: float
    """Rate over the warm-up batch."""
    prefix_caching: bool = False
    """Whether the engine says that it reuses what it computed for an earlier query."""
