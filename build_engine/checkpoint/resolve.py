"""From a name to a checkpoint: a folder, a Hugging Face hub id, or the bundled one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from build_engine.checkpoint.download import fetch
from build_engine.checkpoint.files import SINGLE_FILE, TOKENIZER_FILE
from build_engine.errors import CheckpointError, UnknownName
from build_engine.paths import require_text, user_path
from build_engine.progress import DownloadProgress, NullProgress

Accept: TypeAlias = Callable[[str, LlamaConfig], object]

BUNDLED = "newsbrief"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def resolve_checkpoint(
    path_or_name: str,
    revision: str | None = None,
    progress: DownloadProgress | None = None,
    accept: Accept | None = None,
) -> Checkpoint:
    """Find a checkpoint and prove that it can be built.

    `path_or_name` is `newsbrief`, a folder, or a hub id `organisation/name`; a bundled name comes
    before a folder and a folder before a hub id, of which `revision` is the commit (None: its
    newest), and whose download `progress` is told of. `accept` gets its name and architecture
    before any weights are fetched or read, and may refuse it. Raises UnknownName, CheckpointError
    (incomplete, damaged or unsupported), EnvironmentFault (the hub cannot be reached) or
    OutputError (no room for it).
    """
    if path_or_name == BUNDLED:
        from newsbrief import CHECKPOINT

        return _accepted(open_checkpoint(CHECKPOINT, name=BUNDLED), accept)
    folder = user_path(path_or_name)
    if folder.is_dir():
        return _accepted(open_checkpoint(require_text(folder.resolve())), accept)
    if HUB_ID.fullmatch(path_or_name):
        name = path_or_name.split("/")[1]
        suits = None if accept is None else partial(accept, name)
        told = progress or NullProgress()
        found = fetch(path_or_name, revision, told, weights=True, accept=suits)
        return _accepted(open_checkpoint(found, name=name), accept)
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


def _accepted(checkpoint: Checkpoint, accept: Accept | None) -> Checkpoint:
    if accept is not None:
        accept(checkpoint.name, checkpoint.config)
    return checkpoint


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
