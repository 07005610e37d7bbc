"""A checkpoint of the Hugging Face hub on this machine: from the library's cache as it is, or
downloaded into ours, going on where an earlier start was cut off.

The small files come first, so that a folder with all weights has everything else, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path

from build_engine.checkpoint.architecture import LlamaConfig, parse_config
from build_engine.checkpoint.files import (
    CONFIG_FILE,
    GENERATION_FILE,
    INDEX_FILE,
    SINGLE_FILE,
    TOKENIZER_FILE,
    TOKENIZER_PATTERNS,
    lacking,
    read_object,
    shard_names,
)
from build_engine.download import download, earlier_commits
from build_engine.errors import CheckpointError, EnvironmentFault
from build_engine.hub import Listing, RemoteFile, Repository, library_folder, list_files
from build_engine.paths import cache_root
from build_engine.progress import DownloadProgress

_SMALL = (*TOKENIZER_PATTERNS, INDEX_FILE)
_ALL = ("*.safetensors", *_SMALL)


def fetch(
    hub_id: str,
    revision: str | None,
    progress: DownloadProgress,
    *,
    weights: bool,
    accept: Callable[[LlamaConfig], object] | None = None,
) -> Path:
    """The folder of a checkpoint, or with no `weights` of its tokenizer; None for a `revision` is
    the newest. Where the hub cannot be asked, a whole one of either cache serves. `accept` may
    refuse an architecture before its weights are downloaded.

    Raises CheckpointError (gated, not there, refused, no weights), EnvironmentFault (the hub cannot
    be reached or breaks off) and OutputError.
    """
    repository = Repository(
        hub_id=hub_id,
        kind="model",
        fault=CheckpointError,
        otherwise="or give the folder of a checkpoint",
        taken_for=f"There is no folder {hub_id}, and ",
    )
    place = cache_root() / "checkpoints" / repository.folder_name
    try:
        listing = list_files(repository, revision)
    except (CheckpointError, EnvironmentFault):
        earlier = _earlier(repository, revision, place, weights)
        if earlier is None:
            raise
        progress.note(f"{hub_id} is taken from the cache: {earlier.name[:12]}")
        return earlier
    return _bring(repository, listing, place / listing.commit, progress, weights, accept)


def _bring(
    repository: Repository,
    listing: Listing,
    folder: Path,
    progress: DownloadProgress,
    weights: bool,
    accept: Callable[[LlamaConfig], object] | None,
) -> Path:
    listed = {file.name: file for file in listing.files if "/" not in file.name}
    _require(repository, listed, (CONFIG_FILE, TOKENIZER_FILE) if weights else (TOKENIZER_FILE,))
    small = [file for name, file in listed.items() if _matches(name, _SMALL)]
    title = f"the configuration and tokenizer of {repository.hub_id}"
    paths = download(repository, listing.commit, small, folder, progress, title)
    if weights:
        here = {path.name: path for path in paths}
        big = _weights(repository, listed, here)
        config = _architecture(here)  # before gigabytes come that nobody can use
        if accept is not None:
            accept(config)
        title = f"the weights of {repository.hub_id}"
        paths += download(repository, listing.commit, big, folder, progress, title)
    places = {path.parent for path in paths}
    if len(places) == 1:
        return places.pop()
    for path in paths:
        if path.parent != folder:
            _link(folder / path.name, path)
    return folder


def _weights(
    repository: Repository, listed: Mapping[str, RemoteFile], small: Mapping[str, Path]
) -> list[RemoteFile]:
    if SINGLE_FILE in listed:
        return [listed[SINGLE_FILE]]
    names = shard_names(small[INDEX_FILE]) if INDEX_FILE in small else [SINGLE_FILE]
    _require(repository, listed, names)
    return [listed[name] for name in names]


def _require(
    repository: Repository, listed: Mapping[str, RemoteFile], names: Iterable[str]
) -> None:
    absent = [name for name in names if name not in listed]
    if absent:
        raise CheckpointError(
            f"{repository.hub_id} has no file {absent[0]} on the hub; take a checkpoint in "
            f"safetensors format and with its {TOKENIZER_FILE}."
        )


def _architecture(small: Mapping[str, Path]) -> LlamaConfig:
    config, generation = small[CONFIG_FILE], small.get(GENERATION_FILE)
    return parse_config(
        read_object(config), read_object(generation) if generation else {}, config.parent
    )


def _link(link: Path, target: Path) -> None:
    """A name beside the downloaded files for one that the library has."""
    if not link.is_file() or not link.samefile(target):
        link.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was faster
            link.symlink_to(target)


def _earlier(
    repository: Repository, revision: str | None, place: Path, weights: bool
) -> Path | None:
    """What is here without asking the hub, None unless that is every file."""
    ours = earlier_commits(place) if revision is None else [place / revision]
    known = library_folder(repository, revision, _ALL if weights else _SMALL)
    folders = ours if known is None else [known, *ours]
    return next((folder for folder in folders if _is_whole(folder, weights)), None)


def _is_whole(folder: Path, weights: bool) -> bool:
    if not weights:
        return all((folder / name).is_file() for name in (CONFIG_FILE, TOKENIZER_FILE))
    try:
        return not lacking(folder)
    except CheckpointError:
        return False


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)
