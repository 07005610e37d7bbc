"""The commands and their options are a promise to scripts: a change of them is made here too."""

from __future__ import annotations

from collections.abc import Iterator

from cyclopts import App

from harness.cli.main import make_app

_CALIBRATION = ["--calibration"]
_SIZES = ["--max-batch-size", "--max-input-len"]
FROZEN = {
    "audit": ["--json", "--round", "--run"],
    "build": [
        *_CALIBRATION,
        "--json",
        *_SIZES,
        "--model",
        "--recipe",
        "--set",
        "--target",
        "--workload",
    ],
    "dataset": [
        *_CALIBRATION,
        "--count",
        "--dataset",
        "--json",
        "--model",
        "--output",
        "--workload",
    ],
    "demo": ["--fresh", "--json", "--output", "--round"],
    "doctor": ["--json", "--round", "--system-json"],
    "engines list": ["--json"],
    "engines remove": ["--engine", "--json"],
    "engines show": ["--engine", "--json"],
    "engines verify": ["--engine", "--json"],
    "engines why": ["--first", "--json", "--second"],
    "recipes": ["--json", "--target"],
    "run": [
        *_CALIBRATION,
        "--count",
        "--dataset",
        "--duration",
        "--json",
        *_SIZES,
        "--mode",
        "--model",
        "--output",
        "--qps",
        "--recipe",
        "--round",
        "--scenario",
        "--set",
        "--target",
        "--workload",
    ],
    "submission check": ["--checker", "--json", "--round", "--submitter", "--tree"],
    "submission pack": [
        "--division",
        "--json",
        "--output",
        "--round",
        "--runs",
        "--submitter",
        "--system",
        "-o",
    ],
    "targets": ["--json"],
}


def _commands(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    names = [name for name in app if not name.startswith("-")]
    if not names:
        yield path
    for name in names:
        yield from _commands(app[name], *path, name)


def _options(root: App, path: tuple[str, ...]) -> list[str]:
    with root.app_stack(path):  # so that the command inherits the root's defaults
        app = root
        for name in path:
            app = app[name]
        return sorted(
            name for argument in app.assemble_argument_collection() for name in argument.names
        )


def test_commands_and_options_are_frozen() -> None:
    root = make_app()
    found = {" ".join(path): _options(root, path) for path in _commands(root)}
    assert found == {command: sorted(options) for command, options in FROZEN.items()}
