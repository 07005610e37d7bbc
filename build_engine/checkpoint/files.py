"""Which files a checkpoint in Hugging Face layout has, and how its JSON is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from build_engine.errors import CheckpointError
from build_engine.files import read_json

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_PATTERNS = ("*config.json", TOKENIZER_FILE, "special_tokens_map.json")
# What an engine takes along, so that it answers and decodes as the checkpoint does.
COMPANION_FILES = (
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError, and FileNotFoundError for no file."""
    content = read_json(path, CheckpointError, "download the checkpoint again")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; download the checkpoint again.")
    return content


def shard_names(index: Path) -> list[str]:
    """The weight files that an index names, in order. Raises CheckpointError."""
    weight_map = read_object(index).get("weight_map")
    named = weight_map.values() if isinstance(weight_map, dict) else ()
    if not named or not all(isinstance(s, str) and s == Path(s).name for s in named):
        raise CheckpointError(
            f"{index} has no weight_map from tensors to files; download the checkpoint again."
        )
    return sorted(set(named))


def lacking(folder: Path) -> list[str]:
    """What a folder lacks of a checkpoint, file by file; nothing when it is whole. Raises
    CheckpointError for an index that is damaged.
    """
    missing = [file for file in (CONFIG_FILE, TOKENIZER_FILE) if not (folder / file).is_file()]
    if (folder / SINGLE_FILE).is_file():
        return missing
    if not (folder / INDEX_FILE).is_file():
        return [*missing, f"{SINGLE_FILE} (or {INDEX_FILE} with its shards)"]
    shards = shard_names(folder / INDEX_FILE)
    return missing + [shard for shard in shards if not (folder / shard).is_file()]


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights of a whole checkpoint."""
    if (folder / SINGLE_FILE).is_file():
        return (folder / SINGLE_FILE,)
    return tuple(folder / shard for shard in shard_names(folder / INDEX_FILE))
