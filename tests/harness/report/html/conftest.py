"""A real Chromium, and the reports that it shows; each is made once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.report.html.report import write_report
from tests.harness.report.html.studies import HOSTILE, make_many, make_scaled, make_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs, beside its report."""
    return make_study(tmp_path_factory.mktemp("plain") / "study")


@pytest.fixture(scope="session")
def plain(study: Path) -> Path:
    """The report of an ordinary study."""
    return write_report([study], study.parent / "report.html")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of one whose every text is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    return write_report([make_study(folder / "study", hostile=True)], folder / "report.html")


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of forty candidates."""
    folder = tmp_path_factory.mktemp("many")
    return write_report([make_many(folder / "study", 40)], folder / "report.html")


@pytest.fixture(scope="session")
def scaled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a scaling study, on machines with names that are attacks."""
    folder = tmp_path_factory.mktemp("scaled")
    study = make_scaled(folder / "study", node=HOSTILE.replace("{", "{{").replace("}", "}}") + "{}")
    return write_report([study], folder / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window. Its driver takes Ctrl-C and is a process of ours, so it ends with
    the tests of a browser: others send that signal, and count processes.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no Chromium is installed (looked for {', '.join(_PROGRAMS)})")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync.sync_playwright() as playwright:
        # as root, in a container, it has no sandbox of its own
        shown = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield shown
        shown.close()
