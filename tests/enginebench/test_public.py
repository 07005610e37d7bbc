"""`import enginebench`: its names, what they cost, and that they fill the choices of a command."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import enginebench
from build_engine import errors
from build_engine.store.spec import EngineSpec
from enginebench import api
from harness.rules.workload import load_workload
from harness.runs import execution
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.request import RunRequest
from tests.build_engine.checkpoints import write_checkpoint
from tests.harness.cli.conftest import news, quick_builder, tiny
from tests.harness.rehearsal import rehearse
from tests.test_house import SLOW

__all__ = ["news", "quick_builder", "tiny"]

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """What was to be executed, and was not."""
    requests: list[RunRequest] = []

    def note(request: RunRequest, _progress: object) -> None:
        requests.append(request)

    monkeypatch.setattr(execution, "execute", note)
    return requests


def test_every_public_name_is_exported() -> None:
    mistakes = {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.EnginebenchError)
    }
    functions = {
        name
        for name, value in vars(api).items()
        if inspect.isfunction(value) and value.__module__ == api.__name__ and name[0] != "_"
    }
    types = {"Engine", "LineProgress", "Progress", "Run"}
    assert set(enginebench.__all__) == mistakes | functions | types
    in_order = sorted(enginebench.__all__, key=lambda name: (name.islower(), name))
    assert enginebench.__all__ == in_order
    assert dir(enginebench) == sorted([*enginebench.__all__, "__version__"])


@pytest.mark.parametrize("name", enginebench.__all__)
def test_an_exported_name_is_there_and_explained(name: str) -> None:
    value = getattr(enginebench, name)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    home = importlib.import_module(value.__module__)
    assert getattr(home, name) is value


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'compare'"):
        enginebench.compare  # noqa: B018


def test_the_examples_of_the_documentation_are_calls_that_exist() -> None:
    for function in (enginebench.build, enginebench.run, enginebench.load_run):
        assert f"enginebench.{function.__name__}(" in (inspect.getdoc(function) or "")


def test_an_import_loads_nothing() -> None:
    program = (
        "import sys, enginebench;"
        f"slow = [name for name in {(*SLOW, 'harness', 'build_engine')!r} if name in sys.modules];"
        "sys.exit(', '.join(slow) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_python_m_is_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "enginebench", "targets"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    last = done.stderr.splitlines()[-1]
    assert last == f"Next: {sys.executable} -m enginebench recipes --target cpu"


def test_every_package_that_is_shipped_is_typed() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert "enginebench" in packages
    assert [name for name in packages if not (ROOT / name / "py.typed").is_file()] == []
    assert set(packages) <= set(project["tool"]["mypy"]["files"])


def test_build_is_what_the_command_builds(tiny: Path, quick_builder: None) -> None:
    built = enginebench.build(
        tiny, "int4_wo", max_batch_size=8, max_input_len=64, settings=["group_size=32"]
    )
    assert (built.recipe, built.target, built.limits.max_input_len) == ("int4_wo", "cpu", 64)
    choice = EngineChoice(
        model=str(tiny),
        recipe="int4_wo",
        max_batch_size=8,
        max_input_len=64,
        set=("recipe.group_size=32",),
    )
    progress = enginebench.LineProgress()
    spec: EngineSpec = choice.spec(load_workload("newsbrief"), progress)
    assert built.key == spec.key
    with pytest.raises(enginebench.ConfigError, match="is for `enginebench run`"):
        enginebench.build(tiny, "int4_wo", settings=["workload.max_new_tokens=4"])
    with pytest.raises(enginebench.UnknownName, match="Did you mean `int8_wo`"):
        enginebench.build(tiny, "int8_w")


def test_run_takes_an_engine_or_a_model(
    tiny: Path, news: Path, requested: list[RunRequest], tmp_path: Path
) -> None:
    pytest.importorskip("openvino_genai")  # a real engine has its tokenizer
    engine = enginebench.build(tiny, "int8_wo")
    asked: dict[str, Any] = {"dataset": news, "count": 3, "qps": 5.0, "mode": "performance"}
    enginebench.run(engine, "Server", output="one", **asked)
    enginebench.run(tiny, "Server", recipe="int8_wo", output="one", **asked)
    of_engine, of_model = requested
    assert of_engine == of_model
    choice = RunChoice(
        scenario="Server",
        output=Path("one"),
        dataset=str(news),
        count=3,
        qps=5.0,
        mode="performance",
    )
    named = EngineChoice(model=str(tiny), recipe="int8_wo")
    assert choice.request(named, enginebench.LineProgress()) == of_model
    assert of_engine.folder == tmp_path / "one"


def test_run_refuses_what_says_too_little_or_too_much(
    tiny: Path, news: Path, quick_builder: None, requested: list[RunRequest]
) -> None:
    with pytest.raises(enginebench.UsageError, match=r"needs a recipe.*give recipe="):
        enginebench.run(tiny, "Offline", output="one")
    engine = enginebench.build(tiny, "int8_wo")
    for option in ("recipe", "target"):
        given: dict[str, Any] = {option: "bf16"}
        with pytest.raises(enginebench.UsageError, match=f"leave out {option}="):
            enginebench.run(engine, "Offline", output="one", **given)
    with pytest.raises(enginebench.UnknownName, match="Did you mean `Offline`"):
        enginebench.run(engine, "Ofline", output="one")
    assert requested == []


def test_a_run_is_simulated_on_request(
    tiny: Path, quick_builder: None, requested: list[RunRequest]
) -> None:
    asked: dict[str, Any] = {"recipe": "int8_sq", "target": "a30", "simulate": True, "count": 8}
    enginebench.run("llama3.1-8b", "Server", output="one", workload="llama3.1-8b", **asked)
    (request,) = requested
    assert request.engine is None and request.simulated is not None
    assert request.marks == ("simulated", "other data", "short")
    engine = enginebench.build(tiny, "int8_wo")
    with pytest.raises(enginebench.UsageError, match="give the model instead"):
        enginebench.run(engine, "Server", output="two", simulate=True)


def test_a_damaged_engine_is_not_run(
    tmp_path: Path, news: Path, quick_builder: None, requested: list[RunRequest]
) -> None:
    engine = enginebench.build(write_checkpoint(tmp_path / "other"), "int8_wo")
    (engine.folder / "openvino_model.xml").write_text("<ten/>")
    with pytest.raises(enginebench.EngineError, match=r"is damaged: .*openvino_model.xml"):
        enginebench.run(engine, "Offline", dataset=news, output="one")
    assert requested == []


def test_a_run_is_loaded_as_it_ended(tmp_path: Path) -> None:
    finished = rehearse(tmp_path)
    loaded = enginebench.load_run(str(finished.folder.path))
    assert loaded == finished
    assert loaded.exit_code == finished.exit_code
    with pytest.raises(enginebench.UsageError):
        enginebench.load_run(tmp_path / "nowhere")
