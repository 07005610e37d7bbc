"""Whether a run folder still is what the run wrote: files by digest, figures by LoadGen's detail
log.

A log that was edited after the fact, and a figure in `run.json` that LoadGen's own log does not
give, are each named.
"""

from __future__ import annotations

from build_engine.errors import ResultProblem, RunFailed
from harness.loadgen import logs
from harness.runs.record import RunRecord
from harness.runs.verdict import primary_result
from harness.scoring.accuracy import Accuracy


def problems(record: RunRecord) -> list[str]:
    """What differs, one sentence each; none for a run as it was written."""
    return [*_changed_files(record), *_other_figures(record), *_other_scores(record)]


def require_intact(record: RunRecord) -> None:
    """Raise ResultProblem when anything differs."""
    found = problems(record)
    if found:
        raise ResultProblem(f"{record.folder} was changed after the run: {' '.join(found)}")


def _changed_files(record: RunRecord) -> list[str]:
    recorded: dict[str, str] = record.content.get("files", {})
    present = record.digests()
    found = []
    for name in sorted(recorded.keys() | present.keys()):
        if name not in present:
            found.append(f"{name} is missing; restore it, or run again.")
        elif name not in recorded:
            found.append(f"{name} is not of the run; remove it.")
        elif present[name] != recorded[name]:
            found.append(f"{name} was edited: its digest is not the recorded one; run again.")
    return found


def _other_figures(record: RunRecord) -> list[str]:
    """Figures of run.json against those recomputed from the detail log."""
    found = []
    for mode, test in record.content["tests"].items():
        if test["status"] != "complete":
            continue
        try:
            log = logs.read_detail(record.folder / mode)
        except RunFailed as error:
            found.append(f"{error}.")
            continue
        primary = test.get("primary")
        recorded = {**test["metrics"], "primary": primary}
        again = primary_result(primary["key"], log) if primary else None
        measured = {**log.metrics(), "primary": again}
        found += [
            f"{mode}: {name} is {recorded.get(name)} in run.json and {measured.get(name)} by "
            f"LoadGen's log; run again."
            for name in sorted(measured.keys() | recorded.keys())
            if measured.get(name) != recorded.get(name)
        ]
    return found


def _other_scores(record: RunRecord) -> list[str]:
    """accuracy.txt against the scores of run.json."""
    accuracy = record.content.get("accuracy")
    if not accuracy:
        return []
    path = record.folder / "accuracy" / "accuracy.txt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return [f"accuracy/accuracy.txt cannot be read ({error.strerror}); run again."]
    if text != Accuracy(**accuracy["scores"]).to_accuracy_txt():
        return ["accuracy/accuracy.txt does not have the scores of run.json; run again."]
    return []
