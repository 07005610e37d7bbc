"""Paths mean the same to every process, whatever its working directory."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from build_engine.errors import EnvironmentFault
from build_engine.paths import cache_root, user_path


def test_the_cache_is_the_home_variable_or_below_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", "/data/engines")
    assert cache_root() == Path("/data/engines")
    for unset in ("", None):
        if unset is None:
            monkeypatch.delenv("ENGINEBENCH_HOME")
        else:
            monkeypatch.setenv("ENGINEBENCH_HOME", unset)
        assert cache_root() == Path.home() / ".cache" / "enginebench"


def test_a_relative_cache_is_the_same_folder_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENGINEBENCH_HOME", "here")
    assert cache_root() == tmp_path / "here"


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.delenv("ENGINEBENCH_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(EnvironmentFault, match="no home folder; set ENGINEBENCH_HOME"):
        cache_root()


def test_a_tilde_is_a_home_or_a_name() -> None:
    assert user_path("~/models") == Path.home() / "models"
    assert user_path("~nobody-here/models") == Path("~nobody-here/models")
