"""What the adapter passes to the library is what the library takes: a name that is changed there is
noticed here.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from runtime.executor import Request
from runtime.trtllm import answers, library, worker
from runtime.trtllm.contract import differing_defaults
from runtime.trtllm.sizes import Sizes
from runtime.trtllm.spec import TRTLLMSpec
from tests.contract.doubled import write_engine
from tests.contract.using import Bindings

# what the library's objects are called in the adapter
_OBJECTS: tuple[str, ...] = (
    "trt",
    "self._trt",
    "knobs",
    "config",
    "self._executor",
    "reasons",
    "result",
)
_OBJECTS += ("response", "latest", "latest.kv_cache_stats", "blocks", "config.kv_cache_config")
_OBJECTS += ("batch",)


def changes(module: ModuleType) -> Iterator[tuple[str, str]]:
    """(what was renamed, source with that one change) for every name of the library in a module."""
    source = inspect.getsource(module)
    for index, node in enumerate(ast.walk(ast.parse(source))):
        if isinstance(node, ast.Call) and _is_librarys(node.func):
            for number, keyword in enumerate(node.keywords):
                yield f"{keyword.arg}:{node.lineno}", _changed(source, index, number)
        elif _is_librarys(node):
            assert isinstance(node, ast.Attribute)
            yield f"{ast.unparse(node)}:{node.lineno}", _changed(source, index)


def _is_librarys(node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    owner = ast.unparse(node.value)
    return owner in _OBJECTS or owner.startswith(("trt.", "self._trt."))


def _changed(source: str, index: int, keyword: int | None = None) -> str:
    tree = ast.parse(source)
    node = list(ast.walk(tree))[index]
    if keyword is None:
        assert isinstance(node, ast.Attribute)
        node.attr += "_"
    else:
        assert isinstance(node, ast.Call)
        node.keywords[keyword].arg = f"{node.keywords[keyword].arg}_"
    return ast.unparse(tree)


def loaded(source: str, of: ModuleType) -> Any:
    """A module made from a changed source of another."""
    made = ModuleType(of.__name__)
    made.__dict__["__file__"] = of.__file__
    exec(compile(source, f"<{of.__name__}>", "exec"), made.__dict__)
    return made


def exercise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, library: Any, answers: Any, worker: Any
) -> None:
    """Everything the adapter does with the library, once."""
    trt: Any = Bindings()
    with monkeypatch.context() as patch:
        patch.setattr(library, "bindings", lambda built_with: trt)
        for name in ("News", "first_line", "is_lasting", "is_of_all", "unservable"):
            patch.setattr(worker, name, getattr(answers, name))
        patch.setattr(worker, "library", library)
        patch.setattr(worker, "_STATS_EVERY_S", 0.0)
        assert differing_defaults(trt, library.RELIED_ON) == []
        sizes = {"max_batch_size": 4, "max_num_tokens": 64, "cuda_graphs": True}
        for policy in ("guaranteed_no_evict", "max_utilization"):
            engine = worker.Engine(
                TRTLLMSpec(folder=folder, scheduler_policy=policy, **sizes)  # type: ignore[arg-type]
            )
        prompt = np.arange(5, dtype=np.int32)
        engine.add([Request(i, prompt, 8, 1, (12, 40), streaming=i == 1) for i in range(2)])
        engine.add([Request(2, prompt, 4, 1, (40, 12)), Request(3, prompt, 4)])
        told: dict[int, list[int]] = {0: [], 1: [], 2: [], 3: []}
        while not engine.idle:
            for chunk in (engine.step() or EMPTY).chunks:
                told[chunk.id] += chunk.token_ids.tolist()
                assert (chunk.error is None) == (chunk.id != 3)
        assert told == {0: [11, 12], 1: [11, 12], 2: [11, 12], 3: []}


EMPTY: Any = type("Empty", (), {"chunks": ()})
MODULES = {"library": library, "answers": answers, "worker": worker}
CHANGES = [
    pytest.param(name, source, id=f"{name}-{what}")
    for name, module in MODULES.items()
    for what, source in changes(module)
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It fails the fourth request, and is slow enough to be looked at in between."""
    folder = tmp_path_factory.mktemp("store") / "engine"
    return write_engine(folder, answer=[11, 12], step_s=0.004, fault="request", fault_at=4)


def test_the_adapter_as_it_is_passes(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exercise(engine, monkeypatch, **MODULES)
    assert len(CHANGES) > 50


@pytest.mark.parametrize(("name", "source"), CHANGES)
def test_a_name_that_the_library_does_not_have_is_noticed(
    name: str, source: str, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {name: loaded(source, MODULES[name])}
    with pytest.raises((TypeError, AttributeError)):
        exercise(engine, monkeypatch, **MODULES | changed)


def test_nothing_is_passed_whose_presence_is_not_known() -> None:
    source = inspect.getsource(library)
    for name in ("onboard_blocks=", "normalize_log_probs="):
        assert name not in source


def test_sizes_come_from_what_the_builder_wrote(engine: Path) -> None:
    sizes = Sizes.of(TRTLLMSpec(folder=engine))
    assert (sizes.max_prompt, sizes.max_seq_len, sizes.vocab_size) == (64, 200, 1000)
