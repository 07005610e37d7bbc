"""Which files a checkpoint in Hugging Face layout has, how its JSON is read, and what a folder
holds that is no such checkpoint.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from build_engine.errors import CheckpointError
from build_engine.files import read_json

CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"
TOKENIZER_FILE = "tokenizer.json"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
CHAT_TEMPLATE_FILE = "chat_template.jinja"
TOKENIZER_PATTERNS = (
    "*config.json",
    TOKENIZER_FILE,
    SPECIAL_TOKENS_FILE,
    ADDED_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
)
# The JSON files besides the weights by which an engine answers and decodes as the checkpoint does.
COMPANION_FILES = (
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    TOKENIZER_CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    ADDED_TOKENS_FILE,
)
# What AutoGPTQ and Model Optimizer write beside quantised weights.
_QUANTISED = ("quantize_config.json", "hf_quant_config.json")
_INSTEAD = (
    (
        "adapter_config.json",
        "it holds an adapter, so merge that into its base model (`merge_and_unload` of peft) and "
        "save the result",
    ),
    (
        "*.gguf",
        "it holds a GGUF file, so take the checkpoint in Hugging Face format that it was made from",
    ),
    (
        "*.pth",
        "it holds Meta's own format, so take the repository in Hugging Face format",
    ),
    (
        "pytorch_model*.bin",
        "it holds pickled weights, so load it with LlamaForCausalLM of transformers and save it "
        "again, which writes safetensors",
    ),
    (
        "tokenizer.model",
        "it has a tokenizer.model only, so write the other with AutoTokenizer of transformers and "
        "`save_pretrained`",
    ),
)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError, and FileNotFoundError for no file."""
    content = read_json(path, CheckpointError, "download the checkpoint again")
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; download the checkpoint again.")
    return content


def shard_names(index: Path) -> list[str]:
    """The weight files that an index names, in order. Raises CheckpointError."""
    return sorted(set(weight_map(index).values()))


def weight_map(index: Path) -> dict[str, str]:
    """The file of each tensor that an index names. Raises CheckpointError."""
    said = read_object(index).get("weight_map")
    named = said if isinstance(said, dict) else {}
    if not named or not all(isinstance(s, str) and s == Path(s).name for s in named.values()):
        raise CheckpointError(
            f"{index} has no weight_map from tensors to files; download the checkpoint again."
        )
    return named


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


def require_whole(folder: Path) -> None:
    """Raise CheckpointError for a folder that is not a whole checkpoint, with what it is instead
    where that can be told, and for one that holds its weights twice.
    """
    missing = lacking(folder)
    if missing:
        instead = next((told for pattern, told in _INSTEAD if any(folder.glob(pattern))), None)
        remedy = "download the checkpoint again, in safetensors format and with its tokenizer.json"
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}; {instead or remedy}.")
    for name in (*COMPANION_FILES, CHAT_TEMPLATE_FILE):
        if os.path.lexists(folder / name) and not (folder / name).is_file():
            raise CheckpointError(
                f"{folder / name} is no file, or a link to none; remove it, or download the "
                "checkpoint again."
            )
    single, index = folder / SINGLE_FILE, folder / INDEX_FILE
    shards = shard_names(index) if single.is_file() and index.is_file() else ()
    if any((folder / shard).is_file() for shard in shards):
        raise CheckpointError(
            f"{folder} holds its weights twice, in {SINGLE_FILE} and in the shards of "
            f"{INDEX_FILE}; remove the ones that are not meant."
        )
    for file in _QUANTISED:
        if (folder / file).is_file():
            raise CheckpointError(
                f"{folder} is quantised already: it has a {file}; take the unquantised checkpoint "
                "that it was made from: a recipe quantises it here."
            )


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The files that hold the weights of a whole checkpoint."""
    if (folder / SINGLE_FILE).is_file():
        return (folder / SINGLE_FILE,)
    return tuple(folder / shard for shard in shard_names(folder / INDEX_FILE))
