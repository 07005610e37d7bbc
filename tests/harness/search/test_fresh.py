"""A search that is begun afresh and stopped: what it has not yet removed counts no more."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from build_engine.errors import Interrupted
from harness.progress import NullProgress
from harness.runs.engine_choice import EngineChoice
from harness.runs.folder import RECORD
from harness.search.choice import SearchChoice
from harness.search.plan import SearchPlan
from harness.search.prober import HIDDEN
from harness.search.record import SEARCH
from harness.search.search import earlier_search, run_search

RUN = "whole-3-0123456789ab"


def stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def search(folder: Path, *, fresh: bool) -> None:
    engine = EngineChoice(model="newsbrief", recipe="bf16")
    plan = SearchPlan.of(SearchChoice(scenario="Server", count=2000), engine, NullProgress())
    with pytest.raises(Interrupted):
        run_search(plan, folder, "the command", NullProgress(), lambda _: None, fresh=fresh)


@pytest.mark.parametrize("step", ["sync", "shutil.rmtree"])
def test_the_plain_command_goes_on_with_the_removing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr("harness.search.search._prober", stop)
    (tmp_path / SEARCH).write_text("{}")
    for name in (HIDDEN, RUN, "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / RUN / RECORD).touch()
    with monkeypatch.context() as patch:
        patch.setattr(f"harness.studies.place.{step}", stop)
        search(tmp_path, fresh=True)
    assert (tmp_path / RUN).is_dir()
    assert earlier_search(tmp_path) is None
    search(tmp_path, fresh=False)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["mine"]
    assert not (tmp_path / SEARCH).exists()
