"""Code that quantises or emulates otherwise than before has another number, so that what the store
holds is not taken for what the code would make now.

Whoever changes a digest decides: raise the number when a checkpoint or an engine becomes another
one (that of the quantiser with those of both builders, whose engines are made of its checkpoints),
and record the new digest in either case.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import build_engine.trtllm.modelopt_worker as worker
import build_engine.trtllm.quantise as quantise_module
from build_engine.backend import backend
from build_engine.progress import NullProgress
from build_engine.trtllm.emulate import emulated_network, read_stored
from build_engine.trtllm.quantise import QUANTISER, quantise
from tests.build_engine.trtllm.specs import RandomExport, gpu_spec, untied_checkpoint

NUMBERS = {"quantiser": 1, "emulated": 2, "tensorrt-llm": 3}
CASES = [
    # recipe, settings, digest of the checkpoint's files, digest of the emulated graph
    ("bf16", (), "0a38031ed866", "ecab37ff7277"),
    ("fp16", (), "71cdfc54e948", "ee6d0aaa14b6"),
    ("int8_wo", (), "cecf2554a330", "2010e6aef8e3"),
    ("int4_wo", (), "899bf534dd8d", "eea5ccbd814f"),
    ("int8_sq", (), "39a66145e56e", "b7d817f1f88d"),
    ("int8_sq_static", (), "1ea5a9d467f7", "8734470422a6"),
    ("int4_awq", (), "4543d6cde157", "2825b5a8d936"),
    ("fp8", (), "3ce57ab89eac", "0c48146a6911"),
    ("w4a8_awq", (), "bac0014ecc68", "ce19ade0f2ee"),
    ("bf16", ("kv_cache=int8", "calibration_samples=4"), "6c47acefae2b", "b9e962e4a4fb"),
]


@pytest.mark.parametrize(("recipe", "settings", "checkpoint", "graph"), CASES)
def test_the_same_numbers_make_the_same_checkpoint_and_the_same_graph(
    recipe: str,
    settings: tuple[str, ...],
    checkpoint: str,
    graph: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quantise_module, "run_job", RandomExport())
    folder = tmp_path / "out"
    folder.mkdir()
    untied = untied_checkpoint(tmp_path / "untied", dtype="BF16")
    quantise(gpu_spec(untied, recipe, *settings, target="l40s"), folder, NullProgress())
    files = [folder / "config.json", folder / "rank0.safetensors"]
    written = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()

    assert (written[:12], _graph_digest(folder)[:12]) == (checkpoint, graph)
    assert _numbers() == NUMBERS


def test_model_optimizer_is_asked_the_same() -> None:
    """Nothing else is run only where it is installed."""
    digest = hashlib.sha256(Path(worker.__file__).read_bytes()).hexdigest()

    assert digest[:12] == "646472f684c4"
    assert _numbers() == NUMBERS


def _numbers() -> dict[str, int]:
    builders = {name: backend(name).builder for name in ("emulated", "tensorrt-llm")}
    return {"quantiser": QUANTISER, **builders}


def _graph_digest(folder: Path) -> str:
    """Every operation with its attributes and what it reads, and constants as far as every machine
    computes the same: the angles of the rotary embedding differ in their last bits.
    """
    digest = hashlib.sha256()
    places: dict[str, int] = {}
    for place, node in enumerate(emulated_network(read_stored(folder)).get_ordered_ops()):
        places[node.get_friendly_name()] = place
        said: list[Any] = [node.get_type_name(), sorted(node.get_attributes().items())]
        said += [places[value.get_node().get_friendly_name()] for value in node.input_values()]
        said += [f"{output.element_type} {output.partial_shape}" for output in node.outputs()]
        if node.get_type_name() == "Constant":
            values = np.asarray(node.data, np.float64)
            said += [f"{values.sum():.3e}", f"{np.abs(values).sum():.3e}"]
            said += [f"{values.ravel()[:: max(values.size // 7, 1)].sum():.3e}"]
        digest.update(repr(said).encode())
    return digest.hexdigest()
