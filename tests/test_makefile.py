"""`make` says what it does before a silence, and stops at once where it cannot go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# An interpreter that makes a virtual environment of itself and installs what it is told to.
STUB = """#!/bin/sh
case "$1 $2" in
    "-c "*) exec {python} -c "import sys; sys.version_info = {version}; $2" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && cp "$0" "$3/bin/enginebench" ;;
    "-m pip") echo "pip was called" ;;
    "demo ") echo "the demo was started" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the Makefile needs of a clone."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def stub(path: Path, version: tuple[int, int, int]) -> Path:
    path.write_text(STUB.format(python=sys.executable, version=version))
    path.chmod(0o755)
    return path


def make_demo(clone: Path, python: Path) -> tuple[int, str]:
    command = ["make", "-C", str(clone), "--no-print-directory", "demo", f"PYTHON={python}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_an_old_python_is_refused_before_anything_is_installed(clone: Path) -> None:
    code, said = make_demo(clone, stub(clone / "python3.9", (3, 9, 18)))
    assert code != 0
    sentence = " ".join(said.split())
    assert "enginebench needs Python 3.10 or later, and " in sentence
    assert " is 3.9; " in sentence
    assert "make demo PYTHON=python3.12" in sentence
    assert "pip was called" not in said
    assert not (clone / ".venv").exists()


def test_an_environment_of_an_old_python_is_refused_too(clone: Path) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    stub(clone / ".venv" / "bin" / "python", (3, 9, 18))
    code, said = make_demo(clone, stub(clone / "python3.12", (3, 12, 1)))
    assert code != 0
    assert "remove .venv if it is there" in " ".join(said.split())
    assert "pip was called" not in said


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 13, 1)])
def test_a_long_silence_is_announced(clone: Path, version: tuple[int, int, int]) -> None:
    code, said = make_demo(clone, stub(clone / "python", version))
    assert code == 0
    lines = said.splitlines()
    (announced,) = [line for line in lines if line.startswith("Installing enginebench")]
    assert lines.index(announced) < lines.index("pip was called")
    assert lines[-1] == "the demo was started"
    code, said = make_demo(clone, clone / "python")
    assert "Installing" not in said  # it is there
