"""From a name to a checkpoint: a folder, a Hugging Face hub id, or the bundled one."""

from __future__ import annotations

import re
from pathlib import Path

from build_engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from build_engine.checkpoint.download import fetch
from build_engine.checkpoint.files import SINGLE_FILE, TOKENIZER_FILE
from build_engine.errors import CheckpointError, UnknownName
from build_engine.paths import require_text, user_path
from build_engine.progress import DownloadProgress, NullProgress

BUNDLED = "newsbrief"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve_checkpoint(
    path_or_name: str, revision: str | None = None, progress: DownloadProgress | None = None
) -> Checkpoint:
    """Find a checkpoint and prove that it can be built.

    `path_or_name` is `newsbrief`, a folder, or a hub id `organisation/name`; a bundled name comes
    before a folder and a folder before a hub id, of which `revision` is the commit (None: its
    newest), and whose download `progress` is told of. Raises UnknownName, CheckpointError
    (incomplete, damaged or unsupported), EnvironmentFault (the hub cannot be reached) or
    OutputError (no room for it).
    """
    if path_or_name == BUNDLED:
        from newsbrief import CHECKPOINT

        return open_checkpoint(CHECKPOINT, name=BUNDLED)
    folder = user_path(path_or_name)
    if folder.is_dir():
        return open_checkpoint(require_text(folder.resolve()))
    if HUB_ID.fullmatch(path_or_name):
        found = fetch(path_or_name, revision, progress or NullProgress(), weights=True)
        return open_checkpoint(found, name=path_or_name.split("/")[1])
    if "/" in path_or_name:
        raise CheckpointError(
            f"There is no checkpoint folder {folder}; give a folder with {SINGLE_FILE}, a hub id "
            f"such as meta-llama/Llama-3.1-8B-Instruct, or {BUNDLED}."
        )
    raise UnknownName(
        "checkpoint",
        path_or_name,
        [BUNDLED],
        others=["a folder", "organisation/name on the Hugging Face hub"],
    )


def resolve_tokenizer(
    path_or_name: str, revision: str | None = None, progress: DownloadProgress | None = None
) -> Path:
    """A folder with the tokenizer of a checkpoint, for which the weights need not be there.

    Raises as `resolve_checkpoint`.
    """
    folder = user_path(path_or_name)
    if path_or_name != BUNDLED and (folder / TOKENIZER_FILE).is_file():
        return folder.resolve()
    if path_or_name != BUNDLED and not folder.is_dir() and HUB_ID.fullmatch(path_or_name):
        return fetch(path_or_name, revision, progress or NullProgress(), weights=False)
    return resolve_checkpoint(path_or_name, revision).folder
