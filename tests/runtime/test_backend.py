"""Backends are found by name, and one that is added is used like our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from build_engine.errors import EngineError, EnvironmentFault, UnknownName
from build_engine.plugins import load_object
from build_engine.records import Record
from build_engine.validation import Invalid, validated
from runtime.backend import BACKENDS, AnySpec, backend, engine_spec, load
from runtime.executor import Request
from runtime.openvino.spec import OpenVINOSpec
from runtime.simulated import SimulatedSpec
from runtime.spec import EngineFolderSpec, ExecutorSpec
from tests.toy.executor import BACKEND
from tests.toy.install import ROOT, install_toy, write_toy
from tests.toy.spec import ToySpec


class Holder(Record):
    """A record with the spec of any backend in it."""

    SCHEMA: ClassVar[int] = 1

    schema_version: int = SCHEMA
    executor: AnySpec


def engine_of(name: str, folder: Path = Path("/engines/x")) -> Any:
    """As much of an engine as tells what executes it."""
    return SimpleNamespace(folder=folder, backend=name)


def test_an_engine_is_executed_by_the_backend_that_built_it() -> None:
    spec = engine_spec(engine_of("openvino"))
    assert spec == OpenVINOSpec(folder=Path("/engines/x"))
    assert spec.engine_folder == Path("/engines/x")
    assert SimulatedSpec().engine_folder is None


def test_only_what_computes_is_a_measurement() -> None:
    assert {name: entry.measured for name, entry in BACKENDS.items()} == {
        "openvino": True,
        "tensorrt-llm": True,
        "emulated": False,
        "simulated": False,
        "replicas": True,
        "endpoint": True,
    }


def test_every_entry_leads_to_code_of_its_own() -> None:
    for name, entry in BACKENDS.items():
        assert entry.name == name
        assert entry.spec_class.model_fields["backend"].default == name
        assert callable(load_object(entry.executor))


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"Unknown backend `openvin`\. Did you mean `openvino`\?"):
        backend("openvin")
    with pytest.raises(
        UnknownName, match="Valid: emulated, endpoint, openvino, replicas, simulated, tensorrt-llm"
    ):
        engine_spec(engine_of("abacus"))


def test_a_backend_without_engine_folders_executes_none() -> None:
    with pytest.raises(EngineError, match="`simulated`, which executes no engine folder; build it"):
        engine_spec(engine_of("simulated"))


@pytest.mark.parametrize(
    "spec",
    [
        OpenVINOSpec(folder=Path("/engines/x"), num_threads=2),
        SimulatedSpec(num_tokens=3, samples_per_s=2.5, fault="drop", fault_after=4),
    ],
)
def test_a_spec_comes_back_as_it_went(spec: ExecutorSpec) -> None:
    written = Holder(executor=spec).to_json()
    assert validated(Holder, written).executor == spec


@pytest.mark.parametrize(
    ("executor", "told"),
    [
        ({"folder": "/x"}, "`executor`: it has no `backend`."),
        ("openvino", "`executor`: it has no `backend`."),
        ({"backend": "openvin"}, "Unknown backend `openvin`. Did you mean `openvino`?"),
        ({"backend": "openvino"}, "`folder` is missing."),
        ({"backend": "openvino", "folder": "/x", "num_threads": 0}, "`num_threads` must be"),
        ({"backend": "simulated", "folder": "/x"}, "`folder` is not a key."),
    ],
)
def test_a_spec_that_is_wrong_is_told_by_field(executor: Any, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        validated(Holder, {"schema_version": 1, "executor": executor})
    assert told in str(caught.value)


def test_a_backend_that_is_added_answers_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, BACKEND.name, BACKEND)
    folder = write_toy(tmp_path / "engine", [7, 8, 9])
    spec = engine_spec(engine_of("toy", folder))
    assert isinstance(spec, EngineFolderSpec)
    assert validated(Holder, Holder(executor=spec).to_json()).executor == spec
    executor = load(spec)
    try:
        assert executor.prefix_caching
        prompt = np.arange(4, dtype=np.int32)
        executor.submit([Request(1, prompt, 8), Request(2, prompt, 2)])
        found: dict[int, list[int]] = {}
        while len(found) < 2:
            found |= {chunk.id: chunk.token_ids.tolist() for chunk in executor.poll(10.0)}
        assert found == {1: [7, 8, 9], 2: [7, 8]}
    finally:
        executor.close()


def test_an_installed_package_brings_its_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownName):
        backend("toy")
    install_toy(tmp_path, monkeypatch)
    assert backend("toy") == BACKEND
    assert backend("toy").spec_class is ToySpec
    with pytest.raises(
        UnknownName,
        match="Valid: emulated, endpoint, openvino, replicas, simulated, tensorrt-llm, toy",
    ):
        backend("tou")


def test_a_package_that_is_broken_is_named_and_hinders_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_toy(tmp_path, monkeypatch)
    points = tmp_path / "toy_backend-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "broken = no_such_module:BACKEND\n")
    assert backend("toy") == BACKEND
    with pytest.raises(EnvironmentFault, match=r"`no_such_module:BACKEND`.*`broken`.*uninstall it"):
        backend("broken")


def test_looking_a_backend_up_loads_no_engine() -> None:
    program = (
        "import sys; from runtime.backend import backend; backend('openvino').spec_class;"
        "loaded = {'openvino', 'openvino_genai', 'numpy'} & set(sys.modules);"
        "sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
