"""`enginebench doctor --contract`, in front of libraries that are as known, and otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from build_engine.trtllm.facts import build_tool_facts
from harness.cli.main import run
from tests.contract.library_double import write_library
from tests.contract.machines import set_up

PROGRAM = Path("bin/trtllm-build")
DOUBLES = Path(__file__).with_name("doubles")


def contract(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """The exit code, and the differences."""
    code = run(["doctor", "--contract", "--json"])
    document = json.loads(capsys.readouterr().out)
    return code, document.get("differences", [document.get("error")])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where TensorRT-LLM as it is known is importable."""
    set_up(monkeypatch, tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    write_library(tmp_path)
    shutil.copytree(DOUBLES, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_library_as_it_is_known(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert contract(capsys) == (0, [])
    assert run(["doctor", "--contract"]) == 0
    assert "229 facts of TensorRT-LLM 1.2.1 compared, 0 differ." in capsys.readouterr().err


def test_fields_and_members_with_other_names(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_library(installed, max_seq_len="max_length", tokens_per_block="page", W8A16="W8A16_B")
    code, differences = contract(capsys)
    assert code == 1
    assert differences == [
        "BuildConfig has no max_seq_len",
        "BuildConfig has max_length, which is not known",
        "PluginConfig has no tokens_per_block",
        "PluginConfig has page, which is not known",
        "QuantAlgo has no W8A16",
        "QuantAlgo has W8A16_B, which is not known",
    ]


def test_another_default(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = installed / "tensorrt_llm/builder.py"
    file.write_text(
        file.read_text().replace("max_num_tokens: Any = 8192", "max_num_tokens: Any = 4")
    )
    assert contract(capsys) == (1, ["BuildConfig.max_num_tokens is 4 when left out, and not 8192"])


def test_flags_with_other_names_and_choices(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = installed / PROGRAM
    renamed = "s/--max_beam_width/--beams/g; s/continuous,paged/paged/g"
    program.write_text(program.read_text().replace('"$@"', f'"$@" | sed "{renamed}"'))
    program.write_text(program.read_text().replace("exec ", ""))
    code, differences = contract(capsys)
    assert code == 1 and len(differences) == 3
    assert differences[0].startswith("trtllm-build has no --max_beam_width (known from NVIDIA")
    assert differences[1] == "trtllm-build has --beams, which is not known"
    assert differences[2].startswith("--kv_cache_type takes disabled, paged, and not continuous")


@pytest.mark.parametrize("columns", ["40", "80", "400"])
def test_flags_with_other_defaults(
    installed: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert contract(capsys) == (0, [])
    facts = build_tool_facts()
    changed = {"--max_beam_width": 4, "--output_timing_cache": None, "--dry_run": True}
    flags = [
        flag.model_copy(update={"default": changed[flag.name]}) if flag.name in changed else flag
        for flag in facts.flags
    ]
    other = facts.model_copy(update={"flags": tuple(flags)})
    monkeypatch.setattr("build_engine.trtllm.contract.build_tool_facts", lambda: other)
    assert contract(capsys) == (
        1,
        [
            "--max_beam_width is 1 when left out, and not 4",
            "--output_timing_cache is model.cache when left out, and not None",
            "--dry_run is False when left out, and not True",
        ],
    )


def test_a_help_without_defaults_is_said_to_be_so(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = installed / PROGRAM
    told = program.read_text().replace('"$@"', '"$@" | sed "s/(default:/(else:/"')
    program.write_text(told.replace("exec ", ""))
    assert contract(capsys) == (
        1,
        ["`trtllm-build --help` tells no default, so none was compared"],
    )


def test_bindings_that_lack_something(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bindings = installed / "tensorrt_llm/bindings/executor.py"
    bindings.write_text(
        bindings.read_text().replace(
            "    try:\n",
            "    if name == 'KvCacheConfig':\n        raise AttributeError\n    try:\n",
        )
    )
    code, differences = contract(capsys)
    assert (code, differences) == (1, ["KvCacheConfig is missing"])


def test_bindings_that_do_not_start(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (installed / "tensorrt_llm/bindings/executor.py").write_text("raise ImportError('no cuda')\n")
    code, (sentence,) = contract(capsys)
    assert code == 3 and "said: ImportError: no cuda" in str(sentence)


def test_a_library_that_does_not_start(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (installed / "tensorrt_llm/builder.py").write_text("raise ImportError('libmpi.so.40')\n")
    code, (sentence,) = contract(capsys)
    assert code == 3 and sentence is not None
    assert "said: ImportError: libmpi.so.40" in sentence


def test_without_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    code, (sentence,) = contract(capsys)
    assert code == 3 and "nothing to compare; run this in the container" in str(sentence)
