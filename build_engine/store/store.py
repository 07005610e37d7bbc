"""The engine store: an engine is built once, published whole, and found in milliseconds.

A folder in the store is an engine or it is not there. Builds happen in a hidden sibling
(`.building-<hash12>-<pid>`) and are renamed when their manifest, the last file, is on disk; a lock
per key lets one process build while others wait. Hidden siblings whose lock nobody holds are
leftovers of killed builds and are removed by the next build.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeAlias

from filelock import FileLock, Timeout
from pydantic import BaseModel

from build_engine.digest import file_sha256
from build_engine.errors import (
    CheckpointError,
    EngineError,
    EnvironmentFault,
    OutputError,
    UnknownName,
)
from build_engine.files import CACHE_REMEDY, cannot_write, sync
from build_engine.progress import BuildProgress, PhaseTimer
from build_engine.store.contents import content_problems, file_problems, seal_files
from build_engine.store.engine import Engine
from build_engine.store.manifest import MANIFEST_NAME, EngineIdentity, write_manifest
from build_engine.store.spec import (
    SHORT_KEY_LEN,
    BuildFacts,
    EngineSpec,
    build_record,
    folder_name,
)

Builder: TypeAlias = Callable[[EngineSpec, Path, BuildProgress], BuildFacts]
# Aliases because `EngineStore.list` hides the built-in name inside the class.
Engines: TypeAlias = list[Engine]
Problems: TypeAlias = list[str]
Differences: TypeAlias = list[tuple[str, Any, Any]]

ABSENT = "(absent)"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_WRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_LEFTOVER = re.compile(rf"\.(?:building|removing)-([0-9a-f]{{{SHORT_KEY_LEN}}})-(\d+)")


class EngineStore:
    """The engines below `<root>/engines`, for several processes and threads at once."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.engines = self.root / "engines"

    def find(self, spec: EngineSpec) -> Engine | None:
        """The stored engine of this content, or None for none that is whole. Reads only the files
        that have changed since they were last hashed.

        The engine may lie under another model name: the same checkpoint under two names is one
        engine.
        """
        key = spec.key
        return self._find(key, self.engines / spec.folder_of(key))

    def get_or_build(self, spec: EngineSpec, builder: Builder, progress: BuildProgress) -> Engine:
        """The stored engine, built by `builder(spec, folder, progress)` when there is none.

        While another process builds the same engine, this one says so, waits, and uses the result.
        Whatever the builder raises passes through and leaves nothing behind; a full disk or a store
        that cannot be written is OutputError.
        """
        key = spec.key
        final = self.engines / spec.folder_of(key)
        engine = self._find(key, final)
        if engine is not None:
            return engine
        with self._output_faults(), self._locked(key, progress):
            engine = self._find(key, final)
            if engine is not None:
                progress.note(f"Using the engine that was built meanwhile: {engine.folder}")
                return engine
            self._sweep(key, progress)
            return self._build(spec, key, final, builder, progress)

    def list(self) -> Engines:
        """Every engine whose manifest can be read, ordered by folder."""
        found = []
        for folder in self._folders():
            with suppress(EngineError):
                found.append(Engine.load(folder))
        return found

    def damaged(self) -> dict[Path, str]:
        """One sentence for each folder that looks like an engine and cannot be used as one."""
        problems = ((folder, _damage(folder)) for folder in self._folders())
        return {folder: problem for folder, problem in problems if problem is not None}

    def resolve(self, text: str) -> Engine:
        """The engine of a folder, of the first digits of a key, or of `model/target/recipe`.

        Raises UnknownName, or EngineError when the store is empty, several engines fit, or the
        folder is no engine.
        """
        for folder in (Path(text), self.engines / text):
            if (folder / MANIFEST_NAME).exists():
                return Engine.load(folder.absolute())
        engines = self.list()
        for folder in self._folders():
            name = "/".join(folder.relative_to(self.engines).parts)
            readable = any(folder == engine.folder for engine in engines)
            if text and not readable and (text in name.rsplit("-", 1) or text == name):
                Engine.load(folder)  # raises, and says what is wrong with it
        if not engines:
            raise EngineError(
                f"No engine is stored in `{self.engines}`; build one with: enginebench build"
                " --model newsbrief --target cpu --recipe int8_wo"
            )
        fitting = [e for e in engines if text and (e.key.startswith(text) or text in _names(e))]
        if len(fitting) > 1:
            keys = ", ".join(f"{e.key[:SHORT_KEY_LEN]} ({_names(e)[0]})" for e in fitting)
            raise EngineError(f"`{text}` fits {len(fitting)} engines; give the key of one: {keys}.")
        if not fitting and text and Path(text).is_dir():
            return Engine.load(Path(text))
        if not fitting:
            raise UnknownName(
                "engine", text, [f"{_names(e)[1]}-{e.key[:SHORT_KEY_LEN]}" for e in engines]
            )
        return fitting[0]

    @staticmethod
    def why(a: EngineIdentity, b: EngineIdentity) -> Differences:
        """(dotted field, value in `a`, value in `b`) where two identities differ, by field."""
        left, right = dict(flat(a)), dict(flat(b))
        return [
            (name, left.get(name, ABSENT), right.get(name, ABSENT))
            for name in sorted(left.keys() | right.keys())
            if left.get(name, ABSENT) != right.get(name, ABSENT)
        ]

    def verify(self, engine: Engine) -> Problems:
        """One sentence per missing, truncated, altered or extra file; reads every byte."""
        return content_problems(engine.folder, engine.manifest.files)

    def remove(self, engine: Engine) -> None:
        """Delete an engine of this store and the parents that it leaves empty.

        A link is deleted, never what it points to. Raises EngineError for a folder outside the
        store (or reached through a link out of it) and for an engine that is being built at the
        moment.
        """
        parent = engine.folder.absolute().parent.resolve()
        folder, top = parent / engine.folder.name, self.engines.resolve()
        inside = folder.is_relative_to(top) and len(folder.relative_to(top).parts) == 3
        if not inside or ".." in folder.parts:
            raise EngineError(
                f"`{engine.folder}` is not in the store `{self.engines}`; delete that folder"
                " yourself if you mean it."
            )
        try:
            with self._output_faults(), self._lock(engine.key).acquire(timeout=0):
                hidden = parent / f".removing-{engine.key[:SHORT_KEY_LEN]}-{os.getpid()}"
                folder.rename(hidden)
                _delete(hidden)
                self._prune(parent)
        except Timeout:
            raise EngineError(
                f"`{engine.folder.name}` is being built or removed by another process; try again"
                " when that has ended."
            ) from None
        except FileNotFoundError:
            raise EngineError(f"`{engine.folder}` is already gone; nothing to remove.") from None

    def _find(self, key: str, final: Path) -> Engine | None:
        for folder in itertools.chain((final,), self._leaves()):
            if folder.name == final.name:
                with suppress(EngineError):
                    engine = open_engine(folder)
                    if engine.key == key:
                        return engine
        return None

    def _build(
        self, spec: EngineSpec, key: str, final: Path, builder: Builder, progress: BuildProgress
    ) -> Engine:
        """Build in a hidden sibling of `final` and rename it. The caller holds the lock."""
        temp = final.parent / f".building-{key[:SHORT_KEY_LEN]}-{os.getpid()}"
        _make(temp)
        try:
            timer = PhaseTimer(progress)
            started = datetime.now(timezone.utc)
            facts = builder(spec, temp, timer)
            timer.phase("checksums")
            files = seal_files(temp)
            record = build_record(started, timer.seconds())
            manifest = spec.manifest(facts, files, record)
            if manifest.key != key:
                raise CheckpointError(
                    f"Checkpoint `{spec.checkpoint.folder}` changed while the engine was being"
                    " built; build it again."
                )
            write_manifest(temp, manifest)
            if final.is_symlink() or final.exists():
                reason = _damage(final) or "its key is not that of its name."
                progress.note(f"Replacing a damaged engine: {reason}")
                _delete(final)
            temp.rename(final)
            sync(final.parent)
        finally:
            # Nothing is here after the rename, everything after a failure or Ctrl-C.
            shutil.rmtree(temp, ignore_errors=True)
            self._prune(final.parent)
        return open_engine(final)

    def _leaves(self) -> Iterator[Path]:
        """Every entry three levels down, `<model>/<target>/<leaf>`, hidden leaves included."""
        for model in _children(self.engines):
            for target in _children(model):
                yield from _children(target)

    def _folders(self) -> Iterator[Path]:
        return (leaf for leaf in self._leaves() if not leaf.name.startswith("."))

    def _lock(self, key: str) -> FileLock:
        locks = self.engines / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        return FileLock(locks / f"{key[:SHORT_KEY_LEN]}.lock")

    @contextmanager
    def _locked(self, key: str, progress: BuildProgress) -> Iterator[None]:
        """Hold the lock of `key`; say so before waiting for another holder."""
        lock = self._lock(key)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            progress.note("Another process is building this engine; waiting for it to finish.")
            lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()

    def _sweep(self, key: str, progress: BuildProgress) -> None:
        """Remove what killed builders left: hidden siblings whose lock is free, or ours."""
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
        top = self.engines.resolve()
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


def open_engine(folder: Path) -> Engine:
    """The engine in `folder`. Raises EngineError unless each file is there as it was built, by
    digests that are remembered until a file's size or time of modification changes.
    """
    engine = Engine.load(folder)
    problems = file_problems(folder, engine.manifest.files, file_sha256)
    if problems:
        raise EngineError(
            f"`{folder}` is damaged: {' '.join(problems.values())} Build it again:"
            f" {engine.rebuild_command()}"
        )
    return engine


def _damage(folder: Path) -> str | None:
    try:
        open_engine(folder)
    except EngineError as error:
        return str(error)
    return None


def _names(engine: Engine) -> tuple[str, str]:
    """`model/target/recipe` as it is shown, and as folder names."""
    rest = f"{engine.target}/{engine.recipe}"
    return f"{engine.model}/{rest}", f"{folder_name(engine.model)}/{rest}"


def flat(values: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, plain JSON value) of every field of a record and of those inside it, each name
    behind `prefix`.
    """
    yield from _flat(values.model_dump(mode="json"), prefix)


def _flat(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


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
