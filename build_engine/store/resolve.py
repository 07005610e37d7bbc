"""From what a person calls a stored folder to the folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from build_engine.errors import EngineError, UnknownName
from build_engine.store.folders import Kept, KeyedFolders
from build_engine.store.spec import SHORT_KEY_LEN

K = TypeVar("K", bound=Kept)


def resolve(stores: Sequence[KeyedFolders[K]], text: str) -> tuple[KeyedFolders[K], K]:
    """What `text` names in these stores, and the store: by a folder, the first digits of a key, or
    a name. The stores' own names are for messages: the first store speaks for all.

    Raises UnknownName, or EngineError when the stores are empty, several fit, or the folder is
    damaged.
    """
    for store in stores:
        for folder in (Path(text), store.top / text):
            if (folder / store.kind.manifest).exists():
                return store, store.kind.load(folder.absolute())
    everything = [(store, kept) for store in stores for kept in store.list()]
    fitting = [pair for pair in everything if text and _fits(pair[1], text)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        nouns = {store.kind.noun for store, _ in fitting}
        noun = f"{nouns.pop()}s" if len(nouns) == 1 else "folders of the store"
        keys = ", ".join(f"{kept.key[:SHORT_KEY_LEN]} ({kept.names[0]})" for _, kept in fitting)
        raise EngineError(f"`{text}` fits {len(fitting)} {noun}; give the key of one: {keys}.")
    for store, folder in unreadable(stores, text):
        store.kind.load(folder)  # raises, and says what is wrong with it
    kind = stores[0].kind
    if not everything:
        raise EngineError(f"No {kind.noun} is stored in `{stores[0].top}`; {kind.again}")
    if text and Path(text).is_dir():
        return stores[0], kind.load(Path(text))
    raise UnknownName(
        kind.noun, text, [f"{k.names[-1]}-{k.key[:SHORT_KEY_LEN]}" for _, k in everything]
    )


def unreadable(
    stores: Sequence[KeyedFolders[K]], text: str
) -> Iterator[tuple[KeyedFolders[K], Path]]:
    """The folders with a manifest that cannot be read, or without one, that `text` names."""
    for store in stores:
        readable = {kept.folder for kept in store.list()}
        for folder in store.folders():
            name = folder.relative_to(store.top).as_posix()
            named = text in (name, *name.rsplit("-", 1)) or Path(text).absolute() == folder
            if text and named and folder not in readable:
                yield store, folder


def _fits(kept: Kept, text: str) -> bool:
    return kept.key.startswith(text) or text in kept.names
