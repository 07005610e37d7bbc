"""`--install-completion` in a home of its own, and what a shell then proposes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.cli.main import _COMMANDS
from tests.harness.cli.line import Line
from tests.harness.cli.test_flags import FROZEN

IN_BASH = """
source "$SCRIPT"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_enginebench
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "a home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("ZSH", "ZSH_CUSTOM", "ZSH_VERSION", "BASH_VERSION", "FISH_VERSION"):
        monkeypatch.delenv(name, raising=False)
    return home


def proposed(script: Path, *words: str) -> list[str]:
    """What bash proposes for the last word."""
    done = subprocess.run(
        ["bash", "--norc", "-c", IN_BASH, "bash", "enginebench", *words],
        env={**os.environ, "SCRIPT": str(script), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return sorted(done.stdout.split())


def test_bash_proposes_every_command_and_option(line: Line, home: Path) -> None:
    said = line("--install-completion", "--shell", "bash")
    assert said.code == 0
    assert said.err.splitlines()[-1] == "Then: exec bash"
    script = home / ".local" / "share" / "bash-completion" / "completions" / "enginebench"
    assert str(script) in said.err
    assert f'. "{script}"' in (home / ".bashrc").read_text()
    assert proposed(script, "") == sorted(_COMMANDS)
    assert proposed(script, "ru") == ["run", "runs"]
    assert proposed(script, "engines", "") == ["list", "remove", "show", "verify", "why"]
    for command, options in FROZEN.items():
        if not command.startswith("-"):
            found = proposed(script, *command.split(), "-")
            assert set(options) <= set(found), command
    assert proposed(script, "run", "--max") == [
        "--max-batch-size",
        "--max-input-len",
        "--max-new-tokens",
        "--max-num-tokens",
    ]


def test_bash_completes_a_path(line: Line, home: Path) -> None:
    script = home / "completion.sh"
    line("--install-completion", "--shell", "bash", "--output", script)
    Path("results").mkdir()
    assert proposed(script, "run", "--output", "resu") == ["results"]


def test_a_home_is_changed_once(line: Line, home: Path) -> None:
    (home / ".bashrc").write_text("alias ll='ls -l'\n")
    for _ in range(2):
        line("--install-completion", "--shell", "bash")
    text = (home / ".bashrc").read_text()
    assert text.startswith("alias ll='ls -l'\n")
    assert text.count("bash-completion/completions/enginebench") == 2  # in one line


def test_zsh_is_told_what_its_start_lacks(line: Line, home: Path) -> None:
    said = line("--install-completion", "--shell", "zsh")
    assert said.code == 0
    script = home / ".zsh" / "completions" / "_cyclopts_enginebench"
    assert script.read_text().startswith("#compdef enginebench")
    assert str(script.parent) in (home / ".zshrc").read_text()
    assert "add: autoload -Uz compinit && compinit" in said.err
    (home / ".zshrc").write_text("autoload -Uz compinit && compinit\n")
    assert "add:" not in line("--install-completion", "--shell", "zsh").err
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n", script], check=True)


def test_fish_needs_no_change_of_its_start(line: Line, home: Path) -> None:
    said = line("--install-completion", "--shell", "fish")
    assert said.code == 0
    script = home / ".config" / "fish" / "completions" / "enginebench.fish"
    text = script.read_text()
    assert all(f"-l {name.removeprefix('--')}" in text for name in FROZEN["targets"])
    assert not (home / ".config" / "fish" / "config.fish").exists()
    if fish := shutil.which("fish"):
        command = f"source '{script}'; complete -C 'enginebench ru'"
        done = subprocess.run([fish, "-c", command], capture_output=True, text=True, check=True)
        assert done.stdout.split("\t")[0] == "run"


def test_a_script_of_ones_own_leaves_the_home_alone(line: Line, home: Path) -> None:
    script = home / "new" / "x.sh"
    said = line("--install-completion", "--shell", "bash", "--output", script, "--json")
    assert said.document == {"shell": "bash", "script": str(script)}
    assert "Then: have bash read that file at its start" in said.err
    assert [path.name for path in home.iterdir()] == ["new"]


def test_which_shell_it_is(line: Line, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", _no_ps)
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert "for fish is in" in line("--install-completion").err
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert "Give --shell bash, --shell zsh or --shell fish." in line.refused(
        2, "--install-completion"
    )
    assert '"tcsh"' in line.refused(2, "--install-completion", "--shell", "tcsh")


def _no_ps(*_: object, **__: object) -> None:
    raise FileNotFoundError("ps")


def test_a_home_that_cannot_be_written(line: Line, home: Path) -> None:
    (home / ".local").write_text("a file")
    assert "Cannot write to" in line.refused(3, "--install-completion", "--shell", "bash")
