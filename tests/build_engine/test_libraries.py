"""A library that is not installed is told from one that is broken, and from a stopped import."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from build_engine.errors import EnvironmentFault, Interrupted, MissingLibrary
from build_engine.nvml import NoNvml, open_nvml
from build_engine.openvino.activations import require_int8
from build_engine.openvino.compile import require_openvino
from build_engine.openvino.quantise import _quiet_nncf
from build_engine.plugins import brought
from build_engine.progress import NullProgress
from harness.cli import main
from harness.dataset.sources.rebuilt import _datasets
from runtime.trtllm.library import bindings

STOPPED = """
try:
    raise KeyboardInterrupt
except KeyboardInterrupt as stop:
    raise ImportError("initialization failed") from stop
"""
BROKEN = "raise ImportError('libtbb.so.12: cannot open shared object file')"


def quiet_nncf() -> None:
    with _quiet_nncf(NullProgress()):
        pass


def nvml() -> None:
    with open_nvml():
        pass


LIBRARIES: dict[str, Callable[[], object]] = {
    "openvino": require_openvino,
    "nncf": quiet_nncf,
    "datasets": _datasets,
    "pynvml": nvml,
    "tensorrt_llm": lambda: bindings("1.2.1"),
}


def install(library: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a package of this name before any other."""
    (folder / library).mkdir()
    (folder / library / "__init__.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, library, raising=False)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_stopped_import_is_no_missing_library(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(library, STOPPED, tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        LIBRARIES[library]()


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_broken_library_is_no_missing_one(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(library, BROKEN, tmp_path, monkeypatch)
    with pytest.raises((EnvironmentFault, NoNvml), match=r"cannot be imported \(libtbb.so.12: can"):
        LIBRARIES[library]()


@pytest.mark.parametrize("library", ["openvino", "nncf", "datasets"])
def test_a_missing_library_is_one(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # an import would now raise ImportError
    with pytest.raises(MissingLibrary, match=f"`{library}` is not installed; install it with: pip"):
        LIBRARIES[library]()


def test_what_a_library_needs_and_has_not_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("openvino", "import nothing_of_that_name", tmp_path, monkeypatch)
    told = r"installed and cannot be imported \(No module .*nothing_of_that_name'\); inst"
    for require in (require_openvino, require_int8):
        with pytest.raises(EnvironmentFault, match=told):
            require()


def test_a_stopped_import_of_a_plugin_is_no_broken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("some_plugin", STOPPED, tmp_path, monkeypatch)
    about = tmp_path / "some_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: some-plugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[some.group]\nx = some_plugin:BACKEND\n")
    with pytest.raises(KeyboardInterrupt):
        brought("some.group", "x")


def test_anywhere_else_it_ends_the_command_as_ctrl_c_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("some_library", STOPPED, tmp_path, monkeypatch)
    monkeypatch.setattr(main, "_call", lambda _: __import__("some_library"))
    assert main.run(["targets"]) == Interrupted.exit_code
    assert capsys.readouterr().err == "enginebench: Interrupted.\n"
