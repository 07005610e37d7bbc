"""Whether the installed LoadGen serves for a round, asked of LoadGen itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from build_engine.errors import EnvironmentFault
from harness.cli.main import run
from harness.loadgen import installed
from harness.loadgen.installed import require_loadgen
from harness.loadgen.logs import read_detail
from harness.loadgen.seeds import installed_seeds
from harness.rules.rounds import DEFAULT, load_round
from tests.harness.misbehave import misbehave
from tests.harness.rehearsal import make_plan, rehearse


def test_the_installed_loadgen_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    require_loadgen(load_round("v6.1"))
    monkeypatch.setattr(installed, "installed_version", lambda library: "6.0.5")
    with pytest.raises(EnvironmentFault, match=r"LoadGen 6\.0\.5 does not fit round v6\.1"):
        require_loadgen(load_round("v6.1"))


def test_a_loadgen_that_has_other_seeds_than_its_version_says_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newest = load_round("v6.1")
    monkeypatch.setattr(installed, "installed_version", lambda library: "7.0.1")
    require_loadgen(newest)
    later = newest.loadgen.seeds.model_copy(update={"qsl": 1}).by_setting
    monkeypatch.setattr(installed, "installed_seeds", lambda: later)
    with pytest.raises(EnvironmentFault, match=r"LoadGen 7\.0\.1 does not have the seeds of round"):
        require_loadgen(newest)


@pytest.fixture
def _asked_anew() -> None:
    installed_seeds.cache_clear()


@pytest.mark.usefixtures("_asked_anew")
def test_a_loadgen_that_cannot_be_loaded_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mlperf_loadgen.py").write_text("raise ImportError('libstdc++ is too old')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}{Path(installed.__file__).parents[2]}")
    with pytest.raises(
        EnvironmentFault,
        match=r"installed and does not work \(ImportError: libstdc\+\+ is too old\): pip install",
    ):
        require_loadgen(load_round("v6.1"))


@pytest.mark.usefixtures("_asked_anew")
def test_a_package_of_the_same_name_where_the_user_is_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harness").mkdir()
    (tmp_path / "harness" / "__init__.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    require_loadgen(load_round("v6.1"))


def test_a_run_and_the_doctor_refuse_a_loadgen_of_another_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(installed, "installed_version", lambda library: "6.0.5")
    with pytest.raises(EnvironmentFault, match="install the right one"):
        rehearse(tmp_path)
    assert not (tmp_path / "run").exists()
    assert run(["doctor", "--round", "v5.1", "--json"]) == 3
    check = next(c for c in json.loads(capsys.readouterr().out)["checks"] if "LoadGen" in c["name"])
    assert check["level"] == "fail"
    assert check["remedy"].endswith("'mlcommons-loadgen==5.1.2'")


def test_the_installed_loadgen_has_the_default_rounds_seeds(tmp_path: Path) -> None:
    log = read_detail(misbehave(tmp_path / "test", make_plan()))
    seeds = load_round(DEFAULT).loadgen.seeds.by_setting
    assert {name: log.values[f"effective_{name}"] for name in seeds} == seeds
