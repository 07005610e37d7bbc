"""A Llama checkpoint in Hugging Face layout, proven complete.

Whoever holds a `Checkpoint` may rely on this: every file is there and whole, the architecture can
be built, and each tensor that the network needs has the right shape and a readable type. Only
headers are read to prove it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from build_engine.checkpoint.architecture import LlamaConfig, parse_config
from build_engine.checkpoint.files import (
    COMPANION_FILES,
    CONFIG_FILE,
    GENERATION_FILE,
    lacking,
    read_object,
    weight_files,
)
from build_engine.checkpoint.safetensors_file import ITEM_BYTES, StoredTensor, read_tensors
from build_engine.digest import file_sha256
from build_engine.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in Hugging Face layout on this machine."""

    name: str
    folder: Path
    config: LlamaConfig
    weight_files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the architecture and the content of every weight and companion file.

        File contents are hashed once and remembered, so asking again takes milliseconds.
        """
        parts = {
            "config": asdict(self.config),
            "files": self.weights | {file.name: file_sha256(file) for file in self.companions},
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def weights(self) -> dict[str, str]:
        """SHA-256 in hex of each weight file, by its name."""
        return {file.name: file_sha256(file) for file in self.weight_files}

    @property
    def companions(self) -> tuple[Path, ...]:
        """Those of `COMPANION_FILES` that the checkpoint has."""
        files = (self.folder / name for name in COMPANION_FILES)
        return tuple(file for file in files if file.is_file())

    def tensors(self) -> Mapping[str, StoredTensor]:
        """Every stored tensor by its Hugging Face name; its data is read when it is asked for."""
        return read_tensors(self.weight_files)


def open_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """The checkpoint in `folder`, checked. Raises CheckpointError."""
    missing = lacking(folder)
    if missing:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}; download the checkpoint again, in safetensors "
            "format and with its tokenizer.json."
        )
    said = {
        name: read_object(folder / name) for name in COMPANION_FILES if (folder / name).is_file()
    }
    config = parse_config(said[CONFIG_FILE], said.get(GENERATION_FILE, {}), folder)
    checkpoint = Checkpoint(name or folder.name, folder, config, weight_files(folder))
    _check_tensors(checkpoint)
    return checkpoint


def _check_tensors(checkpoint: Checkpoint) -> None:
    stored = checkpoint.tensors()
    for name, expected in checkpoint.config.tensor_shapes.items():
        tensor = stored.get(name)
        if tensor is None:
            raise CheckpointError(
                f"{checkpoint.folder} has no tensor {name}, which must have shape "
                f"{list(expected)}; download the checkpoint again, or correct config.json if it "
                "describes another model."
            )
        if tensor.shape != expected:
            raise CheckpointError(
                f"{tensor.file}: tensor {name} has shape {list(tensor.shape)}, and config.json "
                f"makes it {list(expected)}; take the config.json that belongs to these weights."
            )
        if tensor.dtype not in ITEM_BYTES:
            raise CheckpointError(
                f"{tensor.file}: tensor {name} is stored as {tensor.dtype}, and only "
                f"{', '.join(ITEM_BYTES)} can be read; take the unquantised checkpoint."
            )
