"""The house keeps its floors: what may import what, how big things get, and who may speak."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections.abc import Container, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from build_engine.backend import BACKENDS as BUILDERS
from harness.rules.scenario import Scenario
from runtime.backend import BACKENDS as EXECUTORS

ROOT = Path(__file__).parents[1]
FLOORS = {
    "configs": 0,
    "newsbrief": 0,
    "build_engine": 1,
    "runtime": 2,
    "harness": 3,
    "enginebench": 4,
}
# The rooms of `harness/`, from the ground up; a room imports from lower numbers only.
ROOMS = {
    "streams": 0,
    "figures": 0,
    "progress": 1,
    "rules": 2,
    "machine": 2,
    "dataset": 3,
    "loadgen": 4,
    "scoring": 5,
    "runs": 6,
    "submission": 7,
    "doctor": 7,
    "plan": 7,
    "studies": 8,
    "simulation": 8,
    "search": 9,
    "report": 10,
    "demo": 11,
    "cli": 12,
}
MAX_ROOM_ARROWS = 90
MAX_UNTYPED_LINES = 20
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
# What `enginebench --help` must not wait for.
SLOW = (
    "cyclopts",
    "numpy",
    "openvino",
    "openvino_genai",
    "pydantic",
    "rich",
    "tokenizers",
    "yaml",
)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


OURS = _files(*FLOORS)
EVERYTHING = _files(*FLOORS, "tests", "benchmarks")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _imports(path: Path, *, for_types: bool = True) -> list[tuple[int, str]]:
    """(line, dotted module) of every import, those inside functions included; without `for_types`
    those under TYPE_CHECKING are left out.
    """
    found: list[tuple[int, str]] = []
    for node in _nodes(_tree(path), for_types):
        if isinstance(node, ast.Import):
            found += ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)}:{node.lineno}: a relative import"
            assert node.module is not None
            found += ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
    return found


def _nodes(node: ast.AST, for_types: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if for_types or not typing_only:
            yield child
            yield from _nodes(child, for_types)


def _importers(library: str, files: Sequence[Path]) -> set[str]:
    return {
        _name(path)
        for path in files
        if any(module.split(".")[0] == library for _, module in _imports(path))
    }


def test_there_is_something_to_look_at() -> None:
    assert {_name(path).split("/")[0] for path in OURS} == set(FLOORS)
    assert len(OURS) > 50


def test_nothing_imports_upward() -> None:
    upward = [
        f"{_name(path)}:{line} imports {module}"
        for path in OURS
        for line, module in _imports(path)
        if FLOORS.get(module.split(".")[0], -1) > FLOORS[_name(path).split("/")[0]]
    ]
    assert upward == []


def _rooms() -> dict[str, set[str]]:
    """Each room of `harness/` and those that it imports from; a loose file is a room of its own."""
    modules = {_module(path): path for path in OURS}
    found: dict[str, set[str]] = {}
    for path in _files("harness"):
        room = found.setdefault(_room(_module(path)), set())
        owners = (_owner(name, modules) for _, name in _imports(path))
        room |= {_room(owner) for owner in owners if owner.startswith("harness.")}
    return {room: below - {room} for room, below in found.items()}


def _room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_a_room_imports_only_from_rooms_below_it() -> None:
    upward = [
        f"{room} imports {other}"
        for room, below in _rooms().items()
        for other in below
        if room and other and ROOMS[other] >= ROOMS[room]
    ]
    assert upward == []


def test_the_house_has_few_loose_files_and_few_arrows() -> None:
    rooms = _rooms()
    loose = [path.stem for path in (ROOT / "harness").glob("*.py") if path.stem != "__init__"]
    assert len(loose) <= 6
    arrows = sum(len(below - {""}) for below in rooms.values())
    assert arrows <= MAX_ROOM_ARROWS, f"{arrows} arrows between the rooms of harness/"


def test_nothing_goes_in_circles() -> None:
    modules = {_module(path): path for path in OURS}
    below: dict[str, set[str]] = {}
    for module, path in modules.items():
        names = (name for _, name in _imports(path, for_types=False))
        below[module] = {owner for name in names if (owner := _owner(name, modules)) != module}
    graphlib.TopologicalSorter(below).prepare()  # raises CycleError, which shows the circle


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _owner(name: str, modules: Container[str]) -> str:
    """The module of ours that holds `name`, or "" for a library's."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def test_nothing_that_is_shipped_imports_tests() -> None:
    assert {
        _name(path) for path in OURS if any(m.split(".")[0] == "tests" for _, m in _imports(path))
    } == set()


def test_only_its_own_room_touches_loadgen() -> None:
    rooms = {str(Path(name).parent) for name in _importers("mlperf_loadgen", OURS)}
    assert rooms == {"harness/loadgen"}


def test_only_training_and_what_we_compare_with_need_torch() -> None:
    homes = (
        "newsbrief/training/",
        "tests/reference/",
        "benchmarks/peer_programs/",
        "build_engine/trtllm/modelopt_worker.py",  # a process of its own
    )
    strangers = {name for name in _importers("torch", EVERYTHING) if not name.startswith(homes)}
    assert strangers == set()


def test_json_and_yaml_have_one_reader() -> None:
    """It bounds depth and size, takes no key twice, and says what is wrong in words."""
    readers = ("json.load", "json.loads", "yaml.load", "yaml.safe_load")
    found = {
        _name(path)
        for path in OURS
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in readers
    }
    assert {name for name in found if not name.startswith("newsbrief/training/")} == {
        "build_engine/files.py"
    }


def test_values_without_a_type_stay_at_the_edges() -> None:
    lines = [
        f"{_name(path)}:{number}"
        for path in OURS
        if not _name(path).startswith("newsbrief/training/")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if "dict[str, Any]" in line
    ]
    assert len(lines) <= MAX_UNTYPED_LINES, lines


def test_scenarios_and_backends_are_no_strings() -> None:
    names = {*map(str, Scenario), *BUILDERS, *EXECUTORS}
    compared = [
        f"{_name(path)}:{node.lineno}"
        for path in OURS
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Compare) and names & set(_compared(node))
    ]
    assert compared == []


def _compared(node: ast.Compare) -> Iterator[object]:
    """The constants that something is compared with, those of a list included; what is looked for
    in a collection (a mark among marks) is none.
    """
    sides = node.comparators if isinstance(node.ops[0], ast.In) else (node.left, *node.comparators)
    for side in sides:
        for part in side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else (side,):
            if isinstance(part, ast.Constant):
                yield part.value


def test_nobody_needs_training() -> None:
    outside = [path for path in OURS if not _name(path).startswith("newsbrief/training/")]
    assert [
        _name(path)
        for path in outside
        if any(module.startswith("newsbrief.training") for _, module in _imports(path))
    ] == []


def test_files_stay_small() -> None:
    sizes = {_name(path): len(path.read_text("utf-8").splitlines()) for path in EVERYTHING}
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_functions_stay_small() -> None:
    long = {}
    for path in EVERYTHING:
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                size = node.end_lineno - node.lineno + 1
                if size > MAX_FUNCTION_LINES + _docstring_lines(node):
                    long[f"{_name(path)}:{node.lineno} {node.name}"] = size
    assert long == {}


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """A command's docstring is its help text, and no part of what it does."""
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return 0
    assert first.end_lineno is not None
    return first.end_lineno - first.lineno + 1


def test_every_module_says_what_it_promises() -> None:
    silent = [
        _name(path)
        for path in EVERYTHING
        if _tree(path).body and ast.get_docstring(_tree(path)) is None
    ]
    assert silent == []


def test_only_the_command_line_prints_or_exits() -> None:
    loud = [
        f"{_name(path)}:{node.lineno}"
        for path in OURS
        if not _name(path).startswith("harness/cli/")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "exit", "quit")
    ]
    assert loud == []


@pytest.mark.parametrize("words", ["", "run(['--help'])", "run([])"])
def test_help_waits_for_no_library(words: str) -> None:
    program = "; ".join(
        [
            "import sys",
            "from harness.cli.main import run",
            words or "pass",
            f"sys.exit(', '.join(name for name in {SLOW!r} if name in sys.modules) or 0)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
