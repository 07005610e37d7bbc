"""Files of the hub on this machine: whole and verified, or not at all.

A file that was cut off stays beside its place as `.part`, and the next start goes on from there;
huggingface_hub itself (2.4) throws such a piece away. What that library already has is used.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from build_engine.digest import file_sha256, hash_file, remember_sha256
from build_engine.errors import EnvironmentFault, OutputError
from build_engine.files import CACHE_REMEDY, cannot_write
from build_engine.hub import (
    RemoteFile,
    Repository,
    explain,
    library_file,
    network_errors,
    tools,
)
from build_engine.progress import DownloadProgress, size_text

# The library takes 10 MB at a time: too coarse for progress, and as much is lost with each break.
_CHUNK_BYTES = 1 << 18
_REPORT_EVERY_S = 0.1
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file of known size, where it comes to lie, and whether the library's cache has it."""

    remote: RemoteFile
    num_bytes: int
    place: Path
    in_library: bool

    @property
    def missing_bytes(self) -> int:
        """What is still to be fetched."""
        if self.in_library or self.place.is_file():
            return 0
        part = _part(self.place)
        return self.num_bytes - min(part.stat().st_size if part.is_file() else 0, self.num_bytes)


def download(
    repository: Repository,
    commit: str,
    files: Sequence[RemoteFile],
    folder: Path,
    progress: DownloadProgress,
    title: str,
) -> tuple[Path, ...]:
    """Each file from the library's cache, or in `folder`, where an earlier start may have left it
    or a part of it; `title` says to the user what comes.

    Raises the repository's fault (refused, or a listing without sizes), EnvironmentFault (the hub
    cannot be reached, breaks off, or sends something else) and OutputError (no room on the disk).
    """
    wanted = [_wanted(repository, commit, remote, folder) for remote in files]
    missing = sum(file.missing_bytes for file in wanted)
    total = sum(file.num_bytes for file in wanted)
    if missing:
        _check_room(title, missing, folder)
        progress.phase(f"Downloading {title}, {size_text(total)}")
    done = 0
    for file in wanted:
        start = done

        def report(here: int, start: int = start) -> None:
            progress.transferred(start + here, total)

        if not file.in_library:
            try:
                _fetch(repository, commit, file, report)
            except network_errors() as error:
                if isinstance(error, OSError) and error.errno in _DISK:
                    raise cannot_write(folder, error, CACHE_REMEDY) from None
                raise explain(error, repository, commit) from error
        done += file.num_bytes
        if missing:
            progress.transferred(done, total)
    return tuple(file.place for file in wanted)


def earlier_commits(folder: Path) -> list[Path]:
    """The folders of `folder`, one for each commit that was ever asked for, newest first."""
    commits = [path for path in folder.glob("*") if path.is_dir()]
    return sorted(commits, key=lambda path: path.stat().st_mtime, reverse=True)


def _wanted(repository: Repository, commit: str, remote: RemoteFile, folder: Path) -> _Wanted:
    if remote.num_bytes is None:  # nobody could tell a file that was cut off from a whole one
        raise repository.fault(
            f"{repository.hub_id} lists {remote.name} without its size; check HF_ENDPOINT, "
            f"{repository.otherwise}."
        )
    known = library_file(repository, remote.name, commit)
    return _Wanted(remote, remote.num_bytes, known or folder / remote.name, known is not None)


def _check_room(title: str, missing: int, folder: Path) -> None:
    """Raise OutputError before a download that cannot end."""
    existing = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise OutputError(
            f"Downloading {title} needs {size_text(missing)}, and {existing} has "
            f"{size_text(free)} free; free space, or {CACHE_REMEDY}."
        )


def _fetch(
    repository: Repository, commit: str, file: _Wanted, report: Callable[[int], None]
) -> None:
    """Bring one file to its place, going on where an earlier start was cut off."""
    from filelock import FileLock
    from huggingface_hub import hf_hub_url

    place, remote = file.place, file.remote
    part = _part(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{part}.lock"):
        if place.is_file():
            if _is_intact(file):
                return
            place.unlink()  # it was damaged since
        if part.is_file() and part.stat().st_size > file.num_bytes:
            part.unlink()
        url = hf_hub_url(repository.hub_id, remote.name, repo_type=repository.kind, revision=commit)
        with part.open("ab") as stream:
            _get(url, file.num_bytes, _Counted(stream, report))
        if remote.sha256 is not None and hash_file(part) != remote.sha256:
            part.unlink()
            raise EnvironmentFault(
                f"{remote.name} of {repository.hub_id} arrived damaged (its SHA-256 is another); "
                "it was removed, so start again."
            )
        part.replace(place)
        if remote.sha256 is not None:
            remember_sha256(place, remote.sha256)


def _is_intact(file: _Wanted) -> bool:
    if file.remote.sha256 is None:
        return file.place.stat().st_size == file.num_bytes
    return file_sha256(file.place) == file.remote.sha256


def _get(url: str, num_bytes: int, stream: _Counted) -> None:
    """The rest of a file, after what `stream` holds of it."""
    import huggingface_hub.constants
    from huggingface_hub.file_download import http_get

    huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = _CHUNK_BYTES
    # a compressed answer would have other positions to go on from
    headers = {**tools().build_hf_headers(), "Accept-Encoding": "identity"}
    http_get(
        url,
        cast(BinaryIO, stream),
        resume_size=stream.tell(),
        headers=headers,
        expected_size=num_bytes,
    )


def _part(place: Path) -> Path:
    return place.with_name(place.name + ".part")


class _Counted:
    """A file that reports its size as it grows, some times a second."""

    def __init__(self, stream: IO[bytes], report: Callable[[int], None]) -> None:
        self._stream = stream
        self._report = report
        self._reported_s = 0.0

    def write(self, data: bytes) -> int:
        """See `IO.write`."""
        written = self._stream.write(data)
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = now_s
            self._report(self._stream.tell())
        return written

    def tell(self) -> int:
        """See `IO.tell`."""
        return self._stream.tell()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
