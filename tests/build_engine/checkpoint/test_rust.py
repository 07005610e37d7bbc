"""A tokenizer that the library panics on is one sentence, and nothing else is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_engine.checkpoint.rust import silenced, sound
from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import CheckpointError, EnvironmentFault
from tests.build_engine.checkpoints import write_checkpoint

Change = Callable[[dict[str, Any]], None]


def no_such_special_token(content: dict[str, Any]) -> None:
    single = [{"SpecialToken": {"id": "<gone>", "type_id": 0}}]
    single.append({"Sequence": {"id": "A", "type_id": 0}})
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [],
        "special_tokens": {},
    }


def no_unknown_token(content: dict[str, Any]) -> None:
    content["model"]["unk_token"] = "<gone>"


def damaged_normaliser(content: dict[str, Any]) -> None:
    content["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA////"}


def id_beyond_int32(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["t1"] = 2**32 - 1


@pytest.mark.parametrize(
    "change", [no_such_special_token, no_unknown_token, damaged_normaliser, id_beyond_int32]
)
def test_a_tokenizer_that_fails_at_a_text_is_damaged(
    tmp_path: Path, change: Change, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_checkpoint(tmp_path) / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged .* again\.$") as raised:
        Tokenizer.load(tmp_path).encode_batch(["t1 t2"])
    assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("size", [2**26 + 1, None])
def test_a_tokenizer_that_is_no_file_of_a_sound_size(tmp_path: Path, size: int | None) -> None:
    path = write_checkpoint(tmp_path) / "tokenizer.json"
    if size is None:
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        with path.open("ab") as stream:
            stream.truncate(size)
    told = "has no tokenizer" if size is None else "more than the 64 MiB"
    with pytest.raises(CheckpointError, match=told):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("passing", [KeyboardInterrupt, MemoryError, SystemExit])
def test_what_is_no_fault_of_the_file_passes(passing: type[BaseException]) -> None:
    with pytest.raises(passing), sound(Path("tokenizer.json")):
        raise passing


def test_threads_that_cannot_be_started_are_no_fault_of_the_file() -> None:
    told = r"starts no more threads.*ulimit -u"
    with pytest.raises(EnvironmentFault, match=told), sound(Path("tokenizer.json")):
        raise ValueError("no pool: ThreadPoolBuildError { kind: IOError }")


def test_a_long_reason_is_cut() -> None:
    with pytest.raises(CheckpointError) as raised, sound(Path("tokenizer.json")):
        raise ValueError("x" * 10_000)
    assert len(str(raised.value)) < 400


def test_standard_error_is_as_before_in_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    with silenced():
        os.write(2, b"hidden")
    os.write(2, b"shown")
    assert capfd.readouterr().err == "shown"
