"""Checkpoints of random weights, of any size, for engines whose speed is measured and whose answers
nobody reads.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.architecture import ARCHITECTURE, parse_config
from build_engine.checkpoint.files import CONFIG_FILE, SINGLE_FILE, TOKENIZER_FILE
from build_engine.checkpoint.safetensors_file import LENGTH_BYTES

if TYPE_CHECKING:
    from build_engine.checkpoint.known import Dimensions

_SPREAD = 0.02


def write_synthetic(folder: Path, dimensions: Dimensions, tokenizer: Path, seed: int = 0) -> None:
    """A checkpoint of these dimensions in the existing `folder`, in bfloat16, with the tokenizer of
    another. Raises OSError.
    """
    import numpy as np

    said = {"architectures": [ARCHITECTURE], "model_type": "llama", **dimensions.model_dump()}
    (folder / CONFIG_FILE).write_text(json.dumps(said), encoding="utf-8")
    shutil.copyfile(tokenizer / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    rng, header, parts, end = np.random.default_rng(seed), {}, [], 0
    for name, shape in parse_config(said, {}, folder).tensor_shapes.items():
        values = _SPREAD * rng.standard_normal(shape, np.float32)
        if len(shape) == 1:
            values[:] = 1  # a norm
        parts.append((values.view(np.uint32) >> 16).astype("<u2").tobytes())
        begin, end = end, end + len(parts[-1])
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [begin, end]}
    told = json.dumps(header).encode()
    with (folder / SINGLE_FILE).open("wb") as file:
        file.write(len(told).to_bytes(LENGTH_BYTES, "little"))
        file.write(told)
        file.writelines(parts)
