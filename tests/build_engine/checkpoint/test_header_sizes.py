"""A safetensors header is looked into only when it has the size of a checkpoint's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_engine.checkpoint.safetensors_file import MAX_HEADER_BYTES, read_tensors
from build_engine.errors import CheckpointError


def test_a_header_that_is_larger_than_any_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    with file.open("wb") as stream:
        stream.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        stream.truncate(2**40)
    with pytest.raises(CheckpointError, match="its header claims 16777217; download"):
        read_tensors([file])


def test_more_tensors_than_any_llama_has(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"t{number}": entry for number in range(2**16 + 1)}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match=r"65,537 tensors.*; download"):
        read_tensors([file])
