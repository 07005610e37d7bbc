"""The commands and their options are a promise to scripts: a change of them is made here too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cyclopts import App
from cyclopts.argument import ArgumentCollection

from build_engine.config import config_names
from harness.cli.main import make_app
from harness.rules.rounds import DEFAULT, round_names
from tests.harness.cli.line import Line

ROOT = Path(__file__).parents[3]

_COMPLETION = "--install-completion"
_CALIBRATION = ["--calibration"]
_SIZES = ["--max-batch-size", "--max-input-len", "--max-new-tokens", "--max-num-tokens"]
FROZEN = {
    "audit": ["--json", "--round", "--run"],
    "build": [
        *_CALIBRATION,
        "--dry-run",
        "--emulate",
        "--json",
        *_SIZES,
        "--model",
        "--profile",
        "--recipe",
        "--set",
        "--stage",
        "--target",
        "--tensor-parallel",
        "--workload",
    ],
    "compare": [
        "--baseline",
        "--csv",
        "--fail-on",
        "--json",
        "--markdown",
        "--runs",
        "--show",
        "--simulated",
    ],
    _COMPLETION: ["--json", "--output", "--shell"],
    "dataset": [
        *_CALIBRATION,
        "--count",
        "--dataset",
        "--json",
        "--model",
        "--output",
        "--set",
        "--show",
        "--workload",
    ],
    "demo": ["--fresh", "--json", "--output", "--round"],
    "doctor": ["--contract", "--fresh", "--json", "--measure", "--round", "--system-json"],
    "endpoint": [
        "--api-key-env",
        "--count",
        "--dataset",
        "--declare",
        "--duration",
        "--idle-timeout",
        "--json",
        "--max-in-flight",
        "--mode",
        "--model",
        "--output",
        "--qps",
        "--repeat",
        "--round",
        "--scenario",
        "--served-model",
        "--set",
        "--tolerate-failures",
        "--urls",
        "--workload",
    ],
    "engines list": ["--json"],
    "engines remove": ["--damaged", "--engine", "--json"],
    "engines show": ["--engine", "--json"],
    "engines verify": ["--engine", "--json"],
    "engines why": ["--first", "--json", "--second"],
    "plan": [
        "--json",
        "--max-batch-size",
        "--max-batch-sizes",
        "--max-input-len",
        "--max-new-tokens",
        "--max-num-tokens",
        "--model",
        "--profile",
        "--recipe",
        "--recipes",
        "--round",
        "--set",
        "--simulate",
        "--target",
        "--targets",
        "--tensor-parallel",
        "--workload",
    ],
    "recipes": ["--json", "--target"],
    "report": ["--baseline", "--folders", "--json", "--output"],
    "run": [
        *_CALIBRATION,
        "--cores-per-replica",
        "--count",
        "--dataset",
        "--duration",
        "--emulate",
        "--json",
        *_SIZES,
        "--mode",
        "--model",
        "--output",
        "--profile",
        "--qps",
        "--ray-address",
        "--recipe",
        "--repeat",
        "--replicas",
        "--round",
        "--scenario",
        "--set",
        "--simulate",
        "--target",
        "--tensor-parallel",
        "--tolerate-failures",
        "--workload",
    ],
    "runs list": [
        "--folders",
        "--json",
        "--recipe",
        "--scenario",
        "--since",
        "--status",
        "--target",
        "--workload",
    ],
    "serve": [
        "--api-key-file",
        "--engine",
        "--host",
        "--json",
        "--max-body-bytes",
        "--max-requests",
        "--name",
        "--port",
        "--trust-request-chat-template",
    ],
    "search": [
        *_CALIBRATION,
        "--count",
        "--dataset",
        "--dry-run",
        "--duration",
        "--emulate",
        "--fresh",
        "--highest",
        "--json",
        *_SIZES,
        "--model",
        "--output",
        "--profile",
        "--qps",
        "--recipe",
        "--round",
        "--scenario",
        "--set",
        "--target",
        "--tensor-parallel",
        "--tolerance",
        "--tune",
        "--workload",
    ],
    "sweep": [
        *_CALIBRATION,
        "--count",
        "--dataset",
        "--dry-run",
        "--duration",
        "--emulate",
        "--fresh",
        "--json",
        "--kv-caches",
        "--max-batch-sizes",
        "--max-num-tokens",
        "--model",
        "--output",
        "--profiles",
        "--qps",
        "--recipes",
        "--repeats",
        "--round",
        "--scenarios",
        "--set",
        "--target",
        "--workload",
    ],
    "scaling": [
        *_CALIBRATION,
        "--cores-per-replica",
        "--count",
        "--dataset",
        "--duration",
        "--emulate",
        "--json",
        *_SIZES,
        "--model",
        "--output",
        "--profile",
        "--ray-address",
        "--recipe",
        "--replicas",
        "--round",
        "--set",
        "--target",
        "--tensor-parallel",
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
    "workloads": ["--json", "--name", "--round"],
}


def _commands(app: App, *path: str) -> Iterator[tuple[str, ...]]:
    names = [name for name in app if name == _COMPLETION or not name.startswith("-")]
    if not names:
        yield path
    for name in names:
        yield from _commands(app[name], *path, name)


def _arguments(root: App, path: tuple[str, ...]) -> ArgumentCollection:
    with root.app_stack(path):  # so that the command inherits the root's defaults
        app = root
        for name in path:
            app = app[name]
        return app.assemble_argument_collection()


def _options(root: App, path: tuple[str, ...]) -> list[str]:
    return sorted(
        name
        for argument in _arguments(root, path)
        for name in argument.names
        if name != "*"  # a dataclass whose fields are options
    )


def test_commands_and_options_are_frozen() -> None:
    root = make_app()
    found = {" ".join(path): _options(root, path) for path in _commands(root)}
    assert found == {command: sorted(options) for command, options in FROZEN.items()}


def test_the_round_stands_once() -> None:
    root = make_app()
    defaults = {
        " ".join(path): argument.field_info.default
        for path in _commands(root)
        for argument in _arguments(root, path)
        if "--round" in argument.names
    }
    assert defaults.pop("audit") is None  # the run's own
    assert set(defaults.values()) == {DEFAULT}
    assert len(defaults) == 11
    written = [
        path.name
        for room in ("cli", "runs", "loadgen")
        for path in (ROOT / "harness" / room).rglob("*.py")
        if any(name in path.read_text(encoding="utf-8") for name in round_names())
    ]
    assert written == []


def test_help_lists_the_names_that_are_shipped(line: Line) -> None:
    for command in ("run", "doctor", "demo"):
        said = " ".join(line(command, "--help").out.replace("│", " ").split())
        assert f"Shipped: {', '.join(round_names())}." in said
    said = " ".join(line("run", "--help").out.replace("│", " ").split())
    assert f"Shipped: {', '.join(config_names('workloads'))}." in said
    assert "with a copy of the hub's dataset" in said  # one paragraph, however it is wrapped
    assert "[default: False]" not in said
    assert "[default: ()]" not in said
    table = said.split("Parameters", 1)[1]
    assert table.index("--scenario") < table.index("--target")  # what must be given stands first
