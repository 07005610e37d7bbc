"""Folders that are made once, published whole, and found by the key of what is in them.

A folder is there with all its files or it is not there. It is made in a hidden sibling
(`.building-<hash12>-<pid>`) and renamed when its manifest, the last file, is on the disk; a lock
per key lets one process make it while others wait. Hidden siblings whose lock nobody holds are
leftovers of killed processes and are removed by the next one that makes something.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Generic, Protocol, TypeAlias, TypeVar

from filelock import FileLock, Timeout

from build_engine.errors import EngineError, EnvironmentFault, OutputError
from build_engine.files import CACHE_REMEDY, cannot_write, sync
from build_engine.progress import BuildProgress
from build_engine.store.contents import FileEntry, content_problems
from build_engine.store.spec import SHORT_KEY_LEN

Problems: TypeAlias = list[str]

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_LEFTOVER = re.compile(rf"\.(?:building|removing)-([0-9a-f]{{{SHORT_KEY_LEN}}})-(\d+)")


class Kept(Protocol):
    """What such a folder holds, by its manifest."""

    @property
    def folder(self) -> Path: ...

    @property
    def key(self) -> str: ...

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """What the manifest vouches for."""
        ...

    @property
    def names(self) -> tuple[str, ...]:
        """What a person may call it, besides its key and its folder; the first is shown."""
        ...


K_co = TypeVar("K_co", bound=Kept, covariant=True)
Kepts: TypeAlias = list[K_co]  # `KeyedFolders.list` hides the built-in name inside the class


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[K_co]):
    """A kind of such folders: its words, its depth below the store, and how one is read."""

    noun: str
    making: str
    """`building`: what another process is doing with one."""
    made: str
    """`built`."""
    again: str
    """The end of a sentence on a store without one: how to get one."""
    depth: int
    manifest: str
    """The name of the file that is written last."""
    load: Callable[[Path], K_co]
    """Reads the manifest alone. Raises EngineError."""
    open: Callable[[Path], K_co]
    """And holds the files against it. Raises EngineError."""


class KeyedFolders(Generic[K_co]):
    """The folders of a kind below `<root>/<name>`, for several processes and threads at once."""

    def __init__(self, root: Path, name: str, kind: Kind[K_co]) -> None:
        self.root = root.absolute()
        self.top = self.root / name
        self.kind = kind

    def find_key(self, key: str, place: PurePath) -> K_co | None:
        """The stored one of this key, or None for none that is whole. `place` is where it is looked
        for first, and its last part the name it has anywhere. Reads only the files that have
        changed since they were last hashed.
        """
        for folder in itertools.chain((self.top / place,), self._leaves()):
            if folder.name == place.name:
                with suppress(EngineError):
                    found = self.kind.open(folder)
                    if found.key == key:
                        return found
        return None

    def get_or_make(
        self, key: str, place: PurePath, make: Callable[[Path], None], progress: BuildProgress
    ) -> K_co:
        """The stored one, made at `place` by `make(folder)` when there is none; `make` writes the
        manifest, last.

        While another process makes it, this one says so, waits, and uses the result. Whatever
        `make` raises passes through and leaves nothing behind; a full disk or a store that cannot
        be written is OutputError.
        """
        found = self.find_key(key, place)
        if found is not None:
            return found
        kind = self.kind
        with self._output_faults(), self._locked(key, progress):
            found = self.find_key(key, place)
            if found is not None:
                progress.note(
                    f"Using the {kind.noun} that was {kind.made} meanwhile: {found.folder}"
                )
                return found
            self._sweep(key, progress)
            return self._publish(key, self.top / place, make, progress)

    def list(self) -> Kepts[K_co]:
        """Every one whose manifest can be read, ordered by folder."""
        found = []
        for folder in self.folders():
            with suppress(EngineError):
                found.append(self.kind.load(folder))
        return found

    def damaged(self) -> dict[Path, str]:
        """One sentence for each folder that looks like one and cannot be used as one."""
        problems = ((folder, self._damage(folder)) for folder in self.folders())
        return {folder: problem for folder, problem in problems if problem is not None}

    def folders(self) -> Iterator[Path]:
        """Every folder that is not hidden, sound or not."""
        return (leaf for leaf in self._leaves() if not leaf.name.startswith("."))

    def used_bytes(self) -> int:
        """What all of it takes on the disk, damaged folders and leftovers included."""
        total = 0
        for folder, _, names in os.walk(self.top):
            for name in names:
                with suppress(OSError):  # of a build that ends now
                    total += Path(folder, name).lstat().st_size
        return total

    def verify(self, kept: Kept) -> Problems:
        """One sentence per missing, truncated, altered or extra file; reads every byte."""
        return content_problems(kept.folder, kept.files, self.kind.manifest)

    def remove(self, kept: Kept) -> None:
        """Delete one of this store and the parents that it leaves empty.

        A link is deleted, never what it points to. Raises EngineError for a folder outside the
        store (or reached through a link out of it) and for one that is being made at the moment.
        """
        self._remove(kept.folder, kept.key[:SHORT_KEY_LEN])

    def remove_damaged(self, folder: Path) -> None:
        """`remove` of a folder whose manifest says no key: its name does. Raises EngineError for a
        name that does not.
        """
        key = folder.name.rpartition("-")[2]
        if not re.fullmatch(rf"[0-9a-f]{{{SHORT_KEY_LEN}}}", key):
            raise EngineError(
                f"`{folder}` does not have the name of {_an(self.kind.noun)} of this store; delete "
                "that folder yourself if you mean it."
            )
        self._remove(folder, key)

    def _remove(self, folder: Path, key: str) -> None:
        parent = folder.absolute().parent.resolve()
        real, top = parent / folder.name, self.top.resolve()
        inside = real.is_relative_to(top) and len(real.relative_to(top).parts) == self.kind.depth
        if not inside or ".." in real.parts:
            raise EngineError(
                f"`{folder}` is not in the store `{self.top}`; delete that folder yourself if you"
                " mean it."
            )
        try:
            with self._output_faults(), self._lock(key).acquire(timeout=0):
                self._discard(real, key)
                self._prune(parent)
        except Timeout:
            raise EngineError(
                f"`{folder.name}` is being {self.kind.made} or removed by another process; try"
                " again when that has ended."
            ) from None
        except FileNotFoundError:
            raise EngineError(f"`{folder}` is already gone; nothing to remove.") from None

    def _discard(self, folder: Path, key: str) -> None:
        """Hide a folder in one step, then delete it: half deleted it could be taken for one."""
        hidden = folder.with_name(f".removing-{key[:SHORT_KEY_LEN]}-{os.getpid()}")
        with suppress(FileNotFoundError):
            _delete(hidden)  # of a killed process with our number: in a container it often has
        folder.rename(hidden)
        _delete(hidden)

    def _publish(
        self, key: str, final: Path, make: Callable[[Path], None], progress: BuildProgress
    ) -> K_co:
        """Make a hidden sibling of `final` and rename it. The caller holds the lock."""
        temp = final.with_name(f".building-{key[:SHORT_KEY_LEN]}-{os.getpid()}")
        _make(temp)
        try:
            make(temp)
            if final.is_symlink() or final.exists():
                reason = self._damage(final) or "its key is not that of its name."
                progress.note(f"Replacing a damaged {self.kind.noun}: {reason}")
                self._discard(final, key)
            temp.rename(final)
            sync(final.parent)
        finally:
            # Nothing is here after the rename, everything after a failure or Ctrl-C.
            shutil.rmtree(temp, ignore_errors=True)
            self._prune(final.parent)
        return self.kind.open(final)

    def _damage(self, folder: Path) -> str | None:
        try:
            self.kind.open(folder)
        except EngineError as error:
            return str(error)
        return None

    def _leaves(self) -> Iterator[Path]:
        """Every entry at the kind's depth, hidden ones included; locks are not looked for."""
        level = [self.top]
        for _ in range(self.kind.depth - 1):
            below = (child for folder in level for child in _children(folder))
            level = [child for child in below if not child.name.startswith(".")]
        for folder in level:
            yield from _children(folder)

    def _lock(self, key: str) -> FileLock:
        locks = self.top / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{key[:SHORT_KEY_LEN]}.lock")

    @contextmanager
    def _locked(self, key: str, progress: BuildProgress) -> Iterator[None]:
        """Hold the lock of `key`; say so before waiting for another holder."""
        lock = self._lock(key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note(
                f"Another process is {self.kind.making} this {self.kind.noun}; waiting for it to"
                " finish."
            )
            lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()

    def _sweep(self, key: str, progress: BuildProgress) -> None:
        """Remove what killed processes left: hidden siblings whose lock is free, or ours."""
        for path in self._leaves():
            leftover = _LEFTOVER.fullmatch(path.name)
            if leftover is None:
                continue
            if key.startswith(leftover[1]):
                _clear(path, progress)
                continue
            with suppress(Timeout), self._lock(leftover[1]).acquire(timeout=0):
                _clear(path, progress)
                self._prune(path.parent)

    def _prune(self, folder: Path) -> None:
        """Remove `folder` and its parents inside the store as long as they are empty."""
        top = self.top.resolve()
        with suppress(OSError):
            while folder.resolve() != top and folder.resolve().is_relative_to(top):
                folder.rmdir()
                folder = folder.parent

    @contextmanager
    def _output_faults(self) -> Iterator[None]:
        """Turn a full disk, and any path of the store that cannot be written, into OutputError."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise OutputError(
                    f"The disk of the engine store `{self.root}` is full; free some space"
                    " (`enginebench engines list` shows what is stored) or point ENGINEBENCH_HOME"
                    " at another disk."
                ) from error
            path = Path(error.filename) if isinstance(error.filename, str) else None
            ours = path and (path.is_relative_to(self.root) or self.root.is_relative_to(path))
            impossible = error.errno == errno.ENOENT and not self.root.exists()
            if ours and (error.errno in _NOT_WRITABLE or impossible):
                raise cannot_write(path or self.root, error, CACHE_REMEDY) from error
            raise


def _an(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _make(folder: Path) -> None:
    """Create `folder`. A neighbour that prunes its empty parents can take ours away between two
    steps: try again.
    """
    for _ in range(100):
        with suppress(FileNotFoundError):
            folder.mkdir(parents=True)
            return
    folder.mkdir(parents=True)


def _children(folder: Path) -> list[Path]:
    """Entries by name; [] for what is no folder or has just gone."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise EnvironmentFault(
            f"`{folder}` cannot be read ({error.strerror}); make it readable or set"
            " ENGINEBENCH_HOME."
        ) from error


def _clear(path: Path, progress: BuildProgress) -> None:
    """Remove a leftover. One that cannot be removed (another user's) harms nothing: its name hides
    it.
    """
    with suppress(OSError):
        _delete(path)
        progress.note(f"Removed the leftover of an interrupted build: {path}")


def _delete(path: Path) -> None:
    """Delete a link itself, or a folder with all its content; links inside are never followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)
