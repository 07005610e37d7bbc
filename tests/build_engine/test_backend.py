"""The builders by name: every target has one, and what is missing is said with its remedy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from build_engine.backend import BACKENDS, backend
from build_engine.errors import ConfigError, EnvironmentFault, MissingLibrary, UnknownName
from build_engine.recipe import load_recipe
from build_engine.target import load_target, target_names
from tests.build_engine.specs import versions


@pytest.mark.parametrize("name", target_names())
def test_every_shipped_target_has_a_backend_with_its_arithmetic(name: str) -> None:
    target = load_target(name)
    found = backend(target.backend)
    assert found.name == target.backend
    compute = found.compute_of(target)
    assert compute.value in (("bf16", "f32") if target.sm is None else (f"sm_{target.sm}",))
    assert compute.reason


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"backend `openvin`.* Did you mean `openvino`"):
        backend("openvin")


def test_versions_are_those_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = backend("openvino")
    versions(monkeypatch, openvino="1", openvino_genai="2")
    found = openvino.versions(openvino.load_libraries, "cpu")
    assert found == {"openvino": "1", "openvino-genai": "2"}
    with pytest.raises(MissingLibrary, match=r"`nncf`.*enginebench\[cpu\]"):
        openvino.versions(openvino.build_libraries, "cpu")


def test_a_backend_without_an_extra_says_where_it_comes_from() -> None:
    tensorrt = backend("tensorrt-llm")
    with pytest.raises(EnvironmentFault, match=r"TensorRT-LLM engines .*`a30`.*container"):
        tensorrt.versions(tensorrt.build_libraries, "a30")
    with pytest.raises(EnvironmentFault, match="container"):
        replace(tensorrt, compile=None).builder_of("a30")


def test_a_profile_is_one_of_the_backend() -> None:
    assert backend("tensorrt-llm").profile(None) == "throughput"
    assert backend("tensorrt-llm").profile("latency") == "latency"
    with pytest.raises(UnknownName, match=r"profile `latence`.* Did you mean `latency`"):
        backend("tensorrt-llm").profile("latence")
    assert backend("openvino").profile(None) is None
    with pytest.raises(ConfigError, match="OpenVINO GenAI engines have no profiles"):
        backend("openvino").profile("latency")


def test_the_builder_is_loaded_when_it_is_asked_for() -> None:
    from build_engine.openvino.compile import compile_engine

    assert backend("openvino").builder_of("cpu") is compile_engine


@pytest.mark.parametrize("name", BACKENDS)
def test_the_framework_is_one_of_the_libraries_that_decide(name: str) -> None:
    entry = backend(name)
    assert entry.framework_library in entry.load_libraries
    assert set(entry.load_libraries) <= set(entry.build_libraries)


def test_a_backend_refuses_what_it_cannot_execute() -> None:
    refusal = backend("openvino").refusal_of(load_recipe("fp8"), load_target("cpu"))
    assert refusal == "it computes in FP8, and the CPU engine computes in INT8, BF16 or F32"
