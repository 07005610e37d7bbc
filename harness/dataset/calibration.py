"""The prompts that a calibrated recipe looks at: articles in the workload's own prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.calibration import calibration_set
from build_engine.paths import cache_root, require_text
from harness.dataset.preparation import prepare
from harness.dataset.sources import bundled
from harness.dataset.sources.source import Source
from harness.dataset.unseen import unseen_articles

if TYPE_CHECKING:
    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint.checkpoint import Checkpoint
    from harness.dataset.unseen import Evaluated
    from harness.progress import Progress
    from harness.rules.workload import Workload

_TOKENS = 512  # of a prompt that calibration looks at: TensorRT-LLM's and ModelOpt's default


def calibration_prompts(
    source: str | None,
    workload: Workload,
    checkpoint: Checkpoint,
    count: int,
    progress: Progress,
    evaluated: Evaluated | None = None,
) -> CalibrationSet:
    """`count` prompts, each cut to its first 512 tokens: of a source as a user names it, else of
    the workload's calibration set where it lies beside the evaluated file, else of what is not
    evaluated of a user's own articles, else of invented news, which is then told.

    Raises DatasetError for a source that is missing, broken, or an evaluation set, and what
    `prepare` raises.
    """
    name = None
    if source is None and evaluated is not None:
        source = _set_beside(evaluated.source, workload)
        if source is None and (unseen := unseen_articles(evaluated, count)) is not None:
            source, name = str(unseen.path), unseen.name
    found = Source.find(source or bundled.NAME, workload, progress, "calibration")
    if source is None and workload.name != bundled.NAME:
        progress.note(
            "calibration on invented news, for want of articles (--calibration FILE gives some)"
        )
    samples = count if found.path is None else None  # of a file all, so that a wrong one is noticed
    prepared = prepare(
        workload, found, checkpoint.folder, cache_root(), samples, progress, "calibration"
    )
    options = ["--workload", workload.name]
    if found.path is not None:
        options += ["--calibration", str(require_text(found.path))]
    return calibration_set(
        name or found.name,
        [ids[:_TOKENS] for ids in prepared.prompts()],
        official=not prepared.shortfalls,
        options=tuple(options),
    )


def _set_beside(evaluated: Source, workload: Workload) -> str | None:
    """The workload's calibration file in the folder of the evaluated one, where it is there."""
    if workload.data is None or evaluated.path is None:
        return None
    path = evaluated.path.parent / workload.data.calibration_file
    return str(path) if path.is_file() else None
