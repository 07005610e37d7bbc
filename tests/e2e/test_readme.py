"""What the README shows is done as it stands there, with a model and articles that are here."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from build_engine.errors import EXIT_OK, EXIT_RESULT
from harness.cli.main import run
from newsbrief import CHECKPOINT

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [
    line.partition("#")[0].strip()
    for language, block in BLOCKS
    if not language
    for line in block.replace("\\\n", " ").splitlines()
]
PAGES = [
    *("README.md", "CONTRIBUTING.md", "deploy/README.md"),
    *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]
COMMANDS = [line for line in LINES if line.startswith("enginebench ")]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README speaks of."""
    monkeypatch.chdir(tmp_path)
    rows = [{"article": f"Rain fell on {n} hills. " * 9, "highlights": "Rain."} for n in range(100)]
    (tmp_path / "articles.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / "checkpoint").symlink_to(CHECKPOINT)
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_does_what_it_says(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(shlex.split(command)[1:])
    assert code in (EXIT_OK, EXIT_RESULT), capsys.readouterr().err


def test_its_python_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = [block for language, block in BLOCKS if language == "python"]
    exec(program, {})
    assert capsys.readouterr().out == "0\n"
    assert (here / "results" / "first" / "run.json").is_file()


def test_there_is_something_to_try() -> None:
    assert len(COMMANDS) >= 2


def test_what_is_made_is_in_the_makefile() -> None:
    rules = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    made = [line.split()[1] for line in LINES if line.startswith("make ")]
    assert made
    assert set(made) <= set(rules)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for link in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (path.parent / link).exists(), f"{page}: {link}"


def test_the_architecture_names_files_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:build_engine|runtime|harness|tests|configs)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def test_it_stays_short() -> None:
    assert len(README.splitlines()) <= 120
