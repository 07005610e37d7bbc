"""A damaged engine is found out by `enginebench compare --fail-on`, as CI would."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import run
from newsbrief import CHECKPOINT

NOISE = 0.3  # of the spread of each matrix
COUNT = "12"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """The bundled checkpoint with noise in its matrices."""
    folder = tmp_path / "damaged"
    shutil.copytree(CHECKPOINT, folder)
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    generator = np.random.default_rng(1)
    for name, tensor in header.items():
        if name == "__metadata__" or len(tensor["shape"]) < 2 or "embed" in name:
            continue
        start, end = (8 + length + offset for offset in tensor["data_offsets"])
        bits = np.frombuffer(content[start:end], np.uint16).astype(np.uint32) << 16
        weights = bits.view(np.float32)
        weights += generator.normal(0.0, NOISE * weights.std(), weights.shape).astype(np.float32)
        content[start:end] = (weights.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    path.write_bytes(content)
    return folder


def bench(model: str | Path, folder: Path) -> Path:
    command = ["run", "--model", str(model), "--recipe", "bf16", "--scenario", "Offline"]
    assert run([*command, "--count", COUNT, "--output", str(folder)]) == 0
    return folder


def test_a_damaged_engine_fails_and_a_sound_one_does_not(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = bench("newsbrief", tmp_path / "sound")
    limits = ("--fail-on", "throughput:-90%,rouge1:-1%")
    assert run(["compare", str(sound), str(sound), *limits]) == 0
    again = bench("newsbrief", tmp_path / "again")
    assert run(["compare", str(sound), str(again), "--fail-on", "rouge1:-1%"]) == 0
    worse = bench(damaged, tmp_path / "worse")
    capsys.readouterr()
    assert run(["compare", str(sound), str(worse), *limits, "--json"]) == 1
    said = capsys.readouterr()
    assert "ROUGE-1 (`rouge1`) is -" in said.err and "the limit is -1 %: FAILED" in said.err
    document = json.loads(said.out)
    assert {check["metric"] for check in document["checks"] if check["failed"]} == {"rouge1"}
    fields = {setting["field"] for setting in document["pairs"][0]["settings"]}
    assert fields == {"engine.checkpoint"}
    log = (sound / "performance" / "mlperf_log_detail.txt").read_text()
    measured = document["candidates"][0]["figures"][0]["value"]
    assert f'"result_tokens_per_second", "value": {measured:g}' in log
