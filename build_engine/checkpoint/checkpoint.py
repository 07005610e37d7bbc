"""A Llama checkpoint, found by folder, Hugging Face hub id or bundled name, and proven complete.

Whoever holds a `Checkpoint` may rely on this: every file is there and whole, the architecture can
be built, and each tensor that the network needs has the right shape and a readable type. Only
headers are read to prove it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from build_engine.checkpoint.architecture import LlamaConfig, parse_config
from build_engine.checkpoint.safetensors_file import ITEM_BYTES, StoredTensor, read_tensors
from build_engine.digest import file_sha256
from build_engine.errors import CheckpointError, EnvironmentFault, MissingLibrary, UnknownName
from build_engine.paths import user_path

BUNDLED = "newsbrief"
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_PATTERNS = ("*config.json", "tokenizer.json", "special_tokens_map.json")
# What an engine takes along, so that it answers and decodes as the checkpoint does.
COMPANION_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
HUB_PATTERNS = ("*.safetensors", INDEX_FILE, *TOKENIZER_PATTERNS)
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


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


def resolve_checkpoint(path_or_name: str, revision: str | None = None) -> Checkpoint:
    """Find a checkpoint and prove that it can be built.

    `path_or_name` is `newsbrief`, a folder, or a hub id `organisation/name`; a bundled name comes
    before a folder and a folder before a hub id, of which `revision` is the commit (None: its
    newest). Raises UnknownName, CheckpointError (incomplete,
    damaged or unsupported), MissingLibrary or EnvironmentFault (the hub cannot be reached).
    """
    if path_or_name == BUNDLED:
        from newsbrief import CHECKPOINT

        return open_checkpoint(CHECKPOINT, name=BUNDLED)
    folder = user_path(path_or_name)
    if folder.is_dir():
        return open_checkpoint(folder.resolve())
    if HUB_ID.fullmatch(path_or_name):
        return open_checkpoint(
            _download(path_or_name, revision, HUB_PATTERNS), name=path_or_name.split("/")[1]
        )
    if "/" in path_or_name:
        raise CheckpointError(
            f"There is no checkpoint folder {folder}; give a folder with {SINGLE_FILE}, a hub id "
            f"such as meta-llama/Llama-3.1-8B-Instruct, or {BUNDLED}."
        )
    raise UnknownName(
        "checkpoint",
        path_or_name,
        [BUNDLED, "a folder", "organisation/name on the Hugging Face hub"],
    )


def resolve_tokenizer(path_or_name: str, revision: str | None = None) -> Path:
    """A folder with the tokenizer of a checkpoint, for which the weights need not be there.

    Raises as `resolve_checkpoint`.
    """
    folder = user_path(path_or_name)
    if path_or_name != BUNDLED and (folder / "tokenizer.json").is_file():
        return folder.resolve()
    if path_or_name != BUNDLED and not folder.is_dir() and HUB_ID.fullmatch(path_or_name):
        return _download(path_or_name, revision, TOKENIZER_PATTERNS)
    return resolve_checkpoint(path_or_name, revision).folder


def open_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """The checkpoint in `folder`, checked. Raises CheckpointError."""
    missing = [file for file in ("config.json", "tokenizer.json") if not (folder / file).is_file()]
    if not (folder / SINGLE_FILE).is_file() and not (folder / INDEX_FILE).is_file():
        missing.append(f"{SINGLE_FILE} (or {INDEX_FILE} with its shards)")
    if missing:
        raise CheckpointError(
            f"{folder} lacks {', '.join(missing)}; download the checkpoint again, in safetensors "
            "format and with its tokenizer.json."
        )
    said = {
        name: _read_json(folder / name) for name in COMPANION_FILES if (folder / name).is_file()
    }
    config = parse_config(said["config.json"], said.get("generation_config.json", {}), folder)
    checkpoint = Checkpoint(name or folder.name, folder, config, _weight_files(folder))
    _check_tensors(checkpoint)
    return checkpoint


def _weight_files(folder: Path) -> tuple[Path, ...]:
    if (folder / SINGLE_FILE).is_file():
        return (folder / SINGLE_FILE,)
    index = folder / INDEX_FILE
    weight_map = _read_json(index).get("weight_map")
    named = weight_map.values() if isinstance(weight_map, dict) else ()
    if not named or not all(isinstance(s, str) and s == Path(s).name for s in named):
        raise CheckpointError(
            f"{index} has no weight_map from tensors to files; download the checkpoint again."
        )
    shards = tuple(folder / shard for shard in sorted(set(named)))
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise CheckpointError(
            f"{folder} lacks {', '.join(absent)}, which {INDEX_FILE} names; download the missing "
            "shards."
        )
    return shards


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


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; download it again.")
    return content


def _download(hub_id: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """Fetch what is needed from the hub, or find it in the cache; HF_HUB_OFFLINE is honoured."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise MissingLibrary("huggingface_hub", "hub") from error
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError as error:
        raise CheckpointError(
            f"{hub_id} is gated on the hub; accept its licence there, then log in with: hf auth "
            "login"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise CheckpointError(
            f"There is no folder and no hub repository {hub_id} that you can read; correct the "
            "name, or log in with: hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise CheckpointError(
            f"{hub_id} has no commit {revision} on the hub; download the checkpoint that you mean "
            "and give its folder."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = str(error).split("\n")[0]
        raise EnvironmentFault(
            f"There is no folder {hub_id}, and as a name on the Hugging Face hub it cannot be "
            f"fetched ({reason}); correct the path, or connect to the hub."
        ) from error
