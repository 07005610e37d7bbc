"""The prompts that a calibrated recipe looks at: articles in the workload's own prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.calibration import calibration_set
from build_engine.paths import cache_root, require_text
from harness.dataset.preparation import prepare
from harness.dataset.sources import bundled
from harness.dataset.sources.source import Source

if TYPE_CHECKING:
    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint.checkpoint import Checkpoint
    from harness.progress import Progress
    from harness.rules.workload import Workload

_TOKENS = 512  # of a prompt that calibration looks at: TensorRT-LLM's and ModelOpt's default


def calibration_prompts(
    source: str | None, workload: Workload, checkpoint: Checkpoint, count: int, progress: Progress
) -> CalibrationSet:
    """`count` prompts of a source as a user names it, of invented news when it is None.

    Each is cut to its first 512 tokens. Raises DatasetError for a source that is missing, broken,
    or an evaluation set, and what `prepare` raises.
    """
    found = Source.find(source or bundled.NAME, workload, progress, "calibration")
    samples = count if found.path is None else None  # of a file all, so that a wrong one is noticed
    prepared = prepare(
        workload, found, checkpoint.folder, cache_root(), samples, progress, "calibration"
    )
    options = ["--workload", workload.name]
    if found.path is not None:
        options += ["--calibration", str(require_text(found.path))]
    return calibration_set(
        found.name,
        [ids[:_TOKENS] for ids in prepared.prompts()],
        official=not prepared.shortfalls,
        options=tuple(options),
    )
