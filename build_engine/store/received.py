"""An engine that another machine built, in the store of this one: fetched once, and kept only
whole, with every file as its manifest says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeAlias

from build_engine.digest import hash_file
from build_engine.errors import EngineError
from build_engine.files import sync
from build_engine.progress import NullProgress
from build_engine.store.contents import file_problems
from build_engine.store.engine import Engine, open_engine
from build_engine.store.manifest import MANIFEST_NAME
from build_engine.store.spec import SHORT_KEY_LEN, folder_name
from build_engine.store.store import EngineStore

PART_BYTES = 8 * 2**20
"""Of a file, in one `Read`."""

Read: TypeAlias = Callable[[str, int], bytes]
"""The next `PART_BYTES`, or what is left, of a file of the engine from an offset on."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An engine that another machine has: its key, its manifest byte for byte, and where it lies in
    a store.
    """

    key: str
    manifest: bytes
    folder: Path
    """Where it lies over there, and perhaps here: on the same machine, or a shared disk."""
    place: PurePath

    @classmethod
    def of(cls, engine: Engine) -> Offer:
        """The offer of an engine that is here."""
        leaf = f"{folder_name(engine.recipe)}-{engine.key[:SHORT_KEY_LEN]}"
        place = PurePath(folder_name(engine.model), folder_name(engine.target), leaf)
        manifest = (engine.folder / MANIFEST_NAME).read_bytes()
        return cls(engine.key, manifest, engine.folder, place)

    def found(self, store: EngineStore) -> Engine | None:
        """The same engine on this machine, by its digests; None where it must be fetched."""
        try:
            if Engine.load(self.folder).key == self.key:
                return open_engine(self.folder)
        except EngineError:
            pass
        return store.find_key(self.key, self.place)


def received(store: EngineStore, offer: Offer, read: Read) -> Engine:
    """The offered engine, found on this machine or fetched by `read` into `store`, by one process
    while others wait for it.

    Raises EngineError for files that are not what the manifest says, OutputError for a store that
    cannot take them, and what `read` raises; nothing is kept then.
    """
    found = offer.found(store)
    if found is not None:
        return found

    def fetch(folder: Path) -> None:
        # nobody sees the folder before it is whole, so the list of its files may come first
        (folder / MANIFEST_NAME).write_bytes(offer.manifest)
        engine = Engine.load(folder)
        for name, entry in engine.files.items():
            _fetch(folder / name, entry.bytes, name, read)
        problems = file_problems(folder, engine.files, hash_file)
        if problems or engine.key != offer.key:
            told = " ".join(problems.values()) or "its manifest has another key."
            raise EngineError(
                f"The copy of the engine `{offer.place}` that came is damaged: {told} Run "
                "`enginebench engines verify` where it was built."
            )
        sync(folder / MANIFEST_NAME)

    return store.get_or_make(offer.key, offer.place, fetch, NullProgress())


def read_part(folder: Path, name: str, offset: int) -> bytes:
    """The other end of a `Read`: a part of a file that the manifest in `folder` vouches for. Raises
    EngineError for any other.
    """
    if name not in Engine.load(folder).files:
        raise EngineError(f"`{name}` is no file of the engine in {folder}.")
    with (folder / name).open("rb") as file:
        file.seek(offset)
        return file.read(PART_BYTES)


def _fetch(path: Path, num_bytes: int, name: str, read: Read) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while file.tell() < num_bytes:
            part = read(name, file.tell())
            if not part:
                break  # the digest will tell
            file.write(part)
    sync(path)
