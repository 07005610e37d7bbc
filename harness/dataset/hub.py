"""Files of a dataset on the Hugging Face hub, on this machine: whole and verified, or not at all.

A file that was cut off stays beside its place as `.part`, and the next start goes on from there;
huggingface_hub itself (2.4) throws such a piece away. HF_TOKEN, HF_ENDPOINT, HF_HOME and
HF_HUB_OFFLINE mean what they mean to that library.
"""

from __future__ import annotations

import errno
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from build_engine.digest import file_sha256
from build_engine.errors import (
    DatasetError,
    EnginebenchError,
    EnvironmentFault,
    MissingLibrary,
    OutputError,
)
from build_engine.paths import cache_root

if TYPE_CHECKING:
    from harness.progress import Progress

_TIMEOUT_S = 20.0  # for the list of files; the library's own limit holds for the files
# The library takes 10 MB at a time: too coarse for progress, and as much is lost with each break.
_CHUNK_BYTES = 1 << 18
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.parquet$")


@dataclass(frozen=True, slots=True)
class SplitFiles:
    """The parquet files of one split, in order, and the commit they are of."""

    files: tuple[Path, ...]
    revision: str


@dataclass(frozen=True, slots=True)
class _Remote:
    """A file as the hub lists it; `sha256` is None for one that is not in large-file storage."""

    name: str
    num_bytes: int
    sha256: str | None


def fetch_split(hub_id: str, config: str, split: str, root: Path, progress: Progress) -> SplitFiles:
    """The files `<config>/<split>-*.parquet` of a dataset, from the library's cache, from ours
    below `root`, or downloaded now. Where the hub cannot be asked, the newest whole set of either
    cache serves.

    Raises DatasetError (gated, not there, no such split), EnvironmentFault (the hub cannot be
    reached or breaks off), OutputError and MissingLibrary.
    """
    try:
        import huggingface_hub.constants
    except ImportError as error:
        raise MissingLibrary("huggingface_hub", "hub") from error
    tools = _tools()
    tools.disable_progress_bars()
    tools.logging.set_verbosity_error()  # it announces each retry; the user hears of a failure once
    huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = _CHUNK_BYTES
    network_errors = _network_errors()
    pattern = f"{config}/{split}-*.parquet"
    try:
        info = huggingface_hub.HfApi().dataset_info(hub_id, files_metadata=True, timeout=_TIMEOUT_S)
    except network_errors as error:
        cached = _cached(hub_id, pattern) or _downloaded(hub_id, pattern, root)
        if cached is None:
            raise explain(error, hub_id) from error
        progress.note(f"{hub_id} is taken from the cache: {cached.revision[:12]}")
        return cached
    wanted = [
        _remote(hub_id, sibling)
        for sibling in info.siblings or []
        if PurePosixPath(sibling.rfilename).match(pattern)
    ]
    if not wanted:
        raise DatasetError(
            f"{hub_id} has no file {pattern} at commit {info.sha}; check HF_ENDPOINT, or give the "
            "official file with --dataset."
        )
    _check_shards(hub_id, [remote.name for remote in wanted])
    try:
        files = _download(hub_id, str(info.sha), wanted, root, progress)
    except network_errors as error:
        raise explain(error, hub_id) from error
    return SplitFiles(files, str(info.sha))


def explain(error: Exception, hub_id: str) -> EnginebenchError:
    """What a failure of the hub, or of the disk, means to the user, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, OSError) and error.errno in _DISK:
        return _cannot_write(cache_root(), error)
    otherwise = "or give the official file with --dataset"
    if isinstance(error, GatedRepoError):
        return DatasetError(
            f"{hub_id} is gated on {constants.ENDPOINT}; accept its terms there and log in with "
            f"`hf auth login` (or set HF_TOKEN), {otherwise}."
        )
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if status in (401, 403) and not isinstance(error, RepositoryNotFoundError):
        return DatasetError(
            f"{constants.ENDPOINT} refuses access to {hub_id} (HTTP {status}); check HF_TOKEN, or "
            f"log in anew with `hf auth login`, {otherwise}."
        )
    if isinstance(error, RepositoryNotFoundError):
        return DatasetError(
            f"{constants.ENDPOINT} has no dataset {hub_id} that you can read; check HF_ENDPOINT, "
            f"log in with `hf auth login` (or set HF_TOKEN), {otherwise}."
        )
    if isinstance(error, OfflineModeIsEnabled):
        return EnvironmentFault(
            f"HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set and {hub_id} is not in the cache; unset "
            f"it to download, "
            f"{otherwise}."
        )
    if status is not None:
        return EnvironmentFault(
            f"{constants.ENDPOINT} answers HTTP {status} for {hub_id}; start again later, what has "
            f"arrived is kept, {otherwise}."
        )
    reason = " ".join(str(error).split()) or type(error).__name__
    return EnvironmentFault(
        f"{hub_id} cannot be fetched from {constants.ENDPOINT} ({reason}); check the network and "
        f"start again, what has arrived is kept, {otherwise}."
    )


def _tools() -> Any:
    """`huggingface_hub.utils`, whose functions are there for all and typed for none."""
    return importlib.import_module("huggingface_hub.utils")


def _network_errors() -> tuple[type[Exception], ...]:
    """What a failing hub may raise: huggingface_hub has used requests (whose errors are OSErrors),
    httpx and httpx2. ValueErrors come of a page that is no JSON, and of a malformed endpoint or
    token.
    """
    clients = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
    raised = [(client.HTTPError, client.InvalidURL) for client in clients]
    return (OSError, ValueError, *chain.from_iterable(raised))


def _remote(hub_id: str, sibling: Any) -> _Remote:
    sha256 = sibling.lfs["sha256"] if sibling.lfs else None
    if not sibling.size:  # without one, nobody can tell a file that was cut off from a whole one
        raise DatasetError(
            f"{hub_id} lists {sibling.rfilename} without its size; check HF_ENDPOINT, or give the "
            "official file with --dataset."
        )
    return _Remote(sibling.rfilename, int(sibling.size), sha256)


def _check_shards(hub_id: str, names: Sequence[str]) -> None:
    """Raise DatasetError when files `-00000-of-00003` are not all there."""
    shards = [match for name in names if (match := _SHARD.search(name))]
    totals = {int(shard.group(2)) for shard in shards}
    if totals and totals != {len(shards)}:
        raise DatasetError(
            f"{hub_id} has {len(shards)} of {max(totals)} files of the split; get the rest, or "
            "give the official file with --dataset."
        )


def _cached(hub_id: str, pattern: str) -> SplitFiles | None:
    """What the library has in its own cache, None unless that is every file."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                hub_id, repo_type="dataset", local_files_only=True, allow_patterns=[pattern]
            )
        )
    except LocalEntryNotFoundError:
        return None
    files = sorted(folder.glob(pattern))
    if not files:
        return None
    _check_shards(hub_id, [file.name for file in files])
    return SplitFiles(tuple(files), folder.name)


def _downloaded(hub_id: str, pattern: str, root: Path) -> SplitFiles | None:
    """What an earlier start downloaded, None unless that is every file."""
    commits = [path for path in _folder(hub_id, root).glob("*") if path.is_dir()]
    for commit in sorted(commits, key=lambda path: path.stat().st_mtime, reverse=True):
        files = sorted(commit.glob(pattern))
        shards = [match for file in files if (match := _SHARD.search(file.name))]
        if files and all(int(shard.group(2)) == len(files) for shard in shards):
            return SplitFiles(tuple(files), commit.name)
    return None


def _folder(hub_id: str, root: Path) -> Path:
    """Where downloads of a dataset lie, by commit."""
    return root / "hub" / hub_id.replace("/", "--")


def _download(
    hub_id: str, revision: str, wanted: Sequence[_Remote], root: Path, progress: Progress
) -> tuple[Path, ...]:
    from huggingface_hub import try_to_load_from_cache

    folder = _folder(hub_id, root) / revision
    total = sum(remote.num_bytes for remote in wanted)
    progress.phase(f"Downloading {hub_id}, {total / 1e6:,.1f} MB")
    files, done = [], 0
    for remote in wanted:
        found = try_to_load_from_cache(hub_id, remote.name, revision=revision, repo_type="dataset")
        if isinstance(found, str):
            files.append(Path(found))
        else:
            target = folder / remote.name
            start = done

            def report(here: int, start: int = start) -> None:
                progress.update(start + here, total)

            _fetch(hub_id, revision, remote, target, report)
            files.append(target)
        done += remote.num_bytes
    return tuple(files)


def _fetch(
    hub_id: str, revision: str, remote: _Remote, target: Path, report: Callable[[int], None]
) -> None:
    """Bring one file to `target`, going on where an earlier start was cut off."""
    from filelock import FileLock
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get

    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(target.parent, error) from None
    with FileLock(f"{part}.lock"):
        if target.is_file():
            if remote.sha256 in (None, file_sha256(target)):
                return
            target.unlink()  # it was damaged since
        if part.is_file() and part.stat().st_size > remote.num_bytes:
            part.unlink()
        with part.open("ab") as stream:
            http_get(
                hf_hub_url(hub_id, remote.name, repo_type="dataset", revision=revision),
                cast(BinaryIO, _Counted(stream, report)),
                resume_size=stream.tell(),
                headers=_tools().build_hf_headers(),
                expected_size=remote.num_bytes,
            )
        if remote.sha256 is not None and file_sha256(part) != remote.sha256:
            part.unlink()
            raise EnvironmentFault(
                f"{remote.name} of {hub_id} arrived damaged (its SHA-256 is another); it was "
                "removed, so start again."
            )
        part.replace(target)


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write to {folder} ({error.strerror}); free space, or set ENGINEBENCH_HOME to "
        "another folder."
    )


class _Counted:
    """A file that reports its size as it grows."""

    def __init__(self, stream: IO[bytes], report: Callable[[int], None]) -> None:
        self._stream = stream
        self._report = report

    def write(self, data: bytes) -> int:
        """See `IO.write`."""
        written = self._stream.write(data)
        self._report(self._stream.tell())
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
