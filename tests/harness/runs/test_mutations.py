"""Every value of a run.json that is edited is noticed; and sealed again, all but a few are."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import ResultProblem, UsageError
from build_engine.files import write_json
from build_engine.records import read_record
from build_engine.store.manifest import write_manifest
from harness.progress import NullProgress
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.verdict import Verdict
from harness.runs.audit import audit
from harness.runs.folder import AUDIT_TEST
from harness.runs.integrity import is_intact, problems
from harness.runs.record import RunRecord
from harness.runs.run import Run
from runtime.backend import BACKENDS
from tests.build_engine.manifests import resealed
from tests.cheats.executor import BACKEND
from tests.cheats.run import install_cheats, run_cheat

# What only the seal vouches for, and why no file of the run could.
FREE = {
    r"command": "how it was asked for, in words",
    r"(started|ended)_utc": "when it was",
    r"process\..*": "which process it was",
    r"(machine|system)\..*": "what the machine said of itself",
    r"versions\.(?!mlcommons-loadgen).*": "what was installed there",
    r"tests\.\w+\.probe\.(load_s|latency_s|samples_per_s)": "a first estimate, and no result",
    r"tests\.\w+\.last_figures(\..*)?": "what was shown while it went on",
    r"no_limits": "what is not known of the machine",
    r"tests\.\w+\.load(\..*)?": "what else the machine did meanwhile",
}
_RULE = re.compile(r".*\.rules\.(\d+)\.(\w+)")
_OF_RULE = ("name", "passed", "measured", "allowed", "remedy", "value", "limit", "unit")

Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A run of both tests, audited."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        install_cheats(folder / "site", patch)
        patch.setattr("harness.runs.audit.never_packed", lambda record, chosen: iter(()))
        made = run_cheat(folder, "none", Scenario.SINGLE_STREAM, count=16)
        audit(made.folder.path, None, NullProgress())
        # Looked up anew for each of some thousand records, these two would take half of the time.
        patch.setitem(BACKENDS, BACKEND.name, BACKEND)
        patch.setattr("harness.runs.recomputed.load_round", cache(load_round))
        yield Run.read(made.folder.path)


def places(content: Any, at: Place = ()) -> Iterator[Place]:
    """Every leaf, and every empty list or mapping; of a rule, one field in turn."""
    below: list[tuple[str | int, Any]] = []
    if isinstance(content, dict):
        below = list(content.items())
    elif isinstance(content, list):
        below = list(enumerate(content))
    if not below:
        found = _RULE.fullmatch(".".join(map(str, at)))
        if found is None or _OF_RULE.index(found[2]) == int(found[1]) % len(_OF_RULE):
            yield at
    for key, value in below:
        yield from places(value, (*at, key))


def changed(value: Any) -> Any:
    """Another value of the same type, where there is one."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if re.fullmatch(r"[0-9a-f]{64}", value):
            return f"{'1' if value[0] == '0' else '0'}{value[1:]}"
        case str():
            return {"Offline": "SingleStream", "SingleStream": "Offline"}.get(value, f"{value}x")
        case list():
            return ["short"]
        case dict():
            return {"x": 1}
        case _:
            return 1


def parent(content: Any, at: Place) -> Any:
    for key in at[:-1]:
        content = content[key]
    return content


def edits(content: Any) -> Iterator[tuple[str, Any]]:
    """Where a value was changed, and the content after it."""
    for at in places(content):
        edited = copy.deepcopy(content)
        parent(edited, at)[at[-1]] = changed(parent(content, at)[at[-1]])
        yield ".".join(map(str, at)), edited


def other_edits(content: Any) -> Iterator[tuple[str, Any]]:
    """Where something was taken away, or added."""
    for at in places(content):
        where = ".".join(map(str, at))
        edited = copy.deepcopy(content)
        del parent(edited, at)[at[-1]]
        yield f"{where} taken away", edited
        if isinstance(parent(content, at), dict) and at[-1] == next(iter(parent(content, at))):
            parent(edited, at).update({at[-1]: parent(content, at)[at[-1]], "extra": 1})
            yield f"{where} extra", edited


def read(path: Path, content: Any) -> RunRecord | None:
    """The record, as one that reads run.json sees it; None where it is refused."""
    path.write_text(json.dumps(content))
    try:
        return read_record(path, RunRecord, UsageError, "run again")
    except UsageError:
        return None


def test_the_run_is_intact(run: Run) -> None:
    assert problems(run) == []


@pytest.mark.not_counted
def test_every_edit_of_run_json_is_noticed(run: Run, tmp_path: Path) -> None:
    content, seen = run.record.to_json(), 0
    for where, edited in chain(edits(content), other_edits(content)):
        seen += 1
        record = read(tmp_path / "run.json", edited)
        assert record is None or not is_intact(Run(run.folder, record)), where
    assert seen > 800


@pytest.mark.not_counted
def test_an_edit_that_was_sealed_again_contradicts_the_files_of_the_run(
    run: Run, tmp_path: Path
) -> None:
    passed, seen = set(), 0
    for where, edited in edits(run.record.to_json()):
        record = read(tmp_path / "run.json", edited)
        if record is None or where == "seal":
            continue
        seen += 1
        if is_intact(Run(run.folder, record.sealed())):
            passed.add(where)
    matters = {w for w in passed if not any(re.fullmatch(free, w) for free in FREE)}
    assert matters == set()
    assert seen > 250


def test_an_edited_run_is_not_audited(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder.path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / AUDIT_TEST)
    record = run.record.model_copy(update={"command": "enginebench run --mine"})
    write_json(tmp_path / "run" / "run.json", record.to_json())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.runs.audit.never_packed", lambda record, chosen: iter(()))
        with pytest.raises(ResultProblem, match=r"run\.json was edited: its seal does not match"):
            audit(tmp_path / "run", None, NullProgress())


def test_what_was_left_out_is_noticed(run: Run) -> None:
    """Whole parts of the record, sealed again."""
    tests, audits = run.record.tests, run.record.audits[AUDIT_TEST]
    assert tests.performance is not None
    fewer = Verdict.of(tests.performance.verdict.rules[:-1])
    shorter = Verdict.of(audits.verdict.rules[:-1])
    judged = tests.performance.model_copy(update={"verdict": fewer})
    parts: tuple[dict[str, Any], ...] = (
        {"accuracy": None},
        {"engine": None},
        {"marks": ()},
        {"tests": tests.model_copy(update={"accuracy": None})},
        {"tests": tests.model_copy(update={"performance": judged})},
        {"audits": {AUDIT_TEST: audits.model_copy(update={"verdict": shorter})}},
        {"files": {}},
    )
    for part in parts:
        record = run.record.model_copy(update=part).sealed()
        assert not is_intact(Run(run.folder, record)), part


def test_another_engine_in_its_place_is_named(run: Run) -> None:
    assert run.record.engine is not None
    folder = run.record.engine_folder
    assert folder is not None
    try:
        write_manifest(folder, resealed(run.record.engine, profile="latency"))
        assert problems(run) == [f"{folder} is another engine than the run's; run again."]
    finally:
        write_manifest(folder, run.record.engine)
    assert is_intact(run)
