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
    CHAT_TEMPLATE_FILE,
    COMPANION_FILES,
    CONFIG_FILE,
    GENERATION_FILE,
    INDEX_FILE,
    SINGLE_FILE,
    read_object,
    require_whole,
    weight_files,
    weight_map,
)
from build_engine.checkpoint.safetensors_file import StoredTensor, read_tensors
from build_engine.checkpoint.tensors import check_tensors
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
        """Those of `COMPANION_FILES` that the checkpoint has, and its chat template."""
        files = (self.folder / name for name in (*COMPANION_FILES, CHAT_TEMPLATE_FILE))
        return tuple(file for file in files if file.is_file())

    def tensors(self) -> Mapping[str, StoredTensor]:
        """Every stored tensor by its Hugging Face name; its data is read when it is asked for."""
        return read_tensors(self.weight_files)


def open_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """The checkpoint in `folder`, checked. Raises CheckpointError."""
    require_whole(folder)
    said = {
        name: read_object(folder / name) for name in COMPANION_FILES if (folder / name).is_file()
    }
    config = parse_config(said[CONFIG_FILE], said.get(GENERATION_FILE, {}), folder)
    checkpoint = Checkpoint(name or folder.name, folder, config, weight_files(folder))
    stored = checkpoint.tensors()
    check_tensors(config, stored, folder)
    if checkpoint.weight_files != (folder / SINGLE_FILE,):
        _check_index(folder, stored)
    return checkpoint


def _check_index(folder: Path, stored: Mapping[str, StoredTensor]) -> None:
    """Raise CheckpointError unless each tensor of the index is in the file that it names."""
    for name, file in weight_map(folder / INDEX_FILE).items():
        found = stored[name].file.name if name in stored else "none of the shards"
        if found != file:
            raise CheckpointError(
                f"{folder / INDEX_FILE} names {file} for tensor {name}, and it is in {found}; "
                "download the checkpoint again."
            )
