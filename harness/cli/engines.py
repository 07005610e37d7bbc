"""`enginebench engines`: the store of built engines, and of the checkpoints quantised for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from cyclopts import App

from build_engine.errors import EXIT_OK, EXIT_RESULT, EngineError, UsageError
from build_engine.fields import differences, flat
from build_engine.paths import cache_root
from build_engine.progress import size_text
from build_engine.store.engine import Engine
from build_engine.store.quantised import CheckpointStore, QuantisedCheckpoint
from build_engine.store.resolve import resolve, unreadable
from build_engine.store.store import EngineStore
from harness.cli.here import TRIED, next_with_cpu
from harness.cli.output import Output

if TYPE_CHECKING:
    from build_engine.store.folders import KeyedFolders

Stored: TypeAlias = Engine | QuantisedCheckpoint

app = App(
    name="engines",
    help="List, explain, verify and remove what is built: engines, and quantised checkpoints.",
    result_action="return_value",
)


@app.command(name="list")
def list_engines(*, json: bool = False) -> None:
    """List the engines in the store, the checkpoints quantised for them, and the disk they use.

    Parameters
    ----------
    json
        Write the list to standard output as JSON.
    """
    out = Output(as_json=json)
    stores = _stores()
    engines, checkpoints = stores[0].list(), stores[1].list()
    out.say(str(cache_root()))
    out.table(
        ["key", "model", "target", "recipe", "MB", "built (UTC)"],
        [[e.key[:12], e.model, _target(e), e.recipe, *_made(e)] for e in engines],
    )
    if checkpoints:
        out.table(
            ["key", "model", "recipe", "MB", "quantised (UTC)"],
            [[c.key[:12], c.model, c.recipe, *_made(c)] for c in checkpoints],
        )
    damaged = [problem for store in stores for problem in store.damaged().values()]
    for problem in damaged:
        out.say(f"not usable: {problem}")
    used = sum(store.used_bytes() for store in stores)
    out.say(f"On the disk: {size_text(used)}")
    out.result(
        {
            "engines": [_summary(item) for item in engines],
            "checkpoints": [_summary(item) for item in checkpoints],
            "damaged": damaged,
            "used_bytes": used,
        }
    )
    if damaged:
        out.next("engines", "verify")
    elif engines or checkpoints:
        out.next("engines", "verify", (engines or checkpoints)[0].key[:12])
    else:
        next_with_cpu(out, "build", *TRIED)


@app.command
def show(engine: str, *, json: bool = False) -> None:
    """Show the manifest of an engine or of a quantised checkpoint.

    Parameters
    ----------
    engine
        Its key (the first characters do), its folder, or model/target/recipe; of a quantised
        checkpoint model/recipe.
    json
        Write the manifest to standard output as JSON.
    """
    out = Output(as_json=json)
    _, found = _find(engine)
    content = found.manifest.to_json()
    out.say(str(found.folder))
    shown = ("identity", "precision", "runtime", "build")
    rows = [[field, str(value)] for field, value in flat(content) if field.split(".")[0] in shown]
    out.table(["field", "value"], rows)
    out.result({"folder": str(found.folder), **content})
    out.next("engines", "verify", found.key[:12])


@app.command
def why(first: str, second: str, *, json: bool = False) -> None:
    """Say in which fields two engines, or two quantised checkpoints, differ, and so why one does
    not serve for the other.

    Parameters
    ----------
    first
        One of them: key, folder, or name.
    second
        The other one.
    json
        Write the differences to standard output as JSON.
    """
    out = Output(as_json=json)
    (store, a), (other, b) = _find(first), _find(second)
    if store.kind is not other.kind:
        raise UsageError(
            f"`{first}` is of the kind `{store.kind.noun}` and `{second}` of the kind "
            f"`{other.kind.noun}`; give two of one kind."
        )
    different = differences(a.identity, b.identity)
    if different:
        rows = [[field, str(left), str(right)] for field, left, right in different]
        out.table(["field", a.key[:12], b.key[:12]], rows)
    else:
        out.say(f"They are the same {store.kind.noun}.")
    out.result([{"field": f, "first": left, "second": right} for f, left, right in different])
    out.next("engines", "show", a.key[:12])


@app.command
def verify(engine: str | None = None, *, json: bool = False) -> int:
    """Check the files of an engine or a quantised checkpoint, or of all, against their checksums.

    Parameters
    ----------
    engine
        Key, folder, or name; all that lies in the store when left out.
    json
        Write the problems to standard output as JSON.
    """
    out = Output(as_json=json)
    stores = _stores()
    kept = (
        [_find(engine)] if engine else [(store, item) for store in stores for item in store.list()]
    )
    problems = {}
    for store, item in kept:
        wrong = problems[item.key[:12]] = store.verify(item)
        out.say(f"{item.key[:12]} {item.names[0]}: {'; '.join(wrong) or 'sound'}")
    bad = [key for key, wrong in problems.items() if wrong]
    readable = {item.folder for _, item in kept}
    lost = []
    for store in [] if engine else stores:
        for folder, problem in store.damaged().items():
            if folder not in readable:
                out.say(problem)
                problems[str(folder)] = [problem]
                lost.append(folder)
    out.result(problems)
    if bad:
        out.next("engines", "remove", bad[0])
    elif lost:
        out.next("engines", "remove", lost[0], "--damaged")
    else:
        out.next("engines", "list")
    return EXIT_RESULT if any(problems.values()) else EXIT_OK


@app.command
def remove(engine: str, *, damaged: bool = False, json: bool = False) -> None:
    """Remove an engine or a quantised checkpoint from the store.

    Parameters
    ----------
    engine
        Key, folder, or name.
    damaged
        Remove it though it cannot be read, and so cannot be said what it is.
    json
        Write what was removed to standard output as JSON.
    """
    out = Output(as_json=json)
    stores = _stores()
    lost = list(unreadable(stores, engine))
    if damaged and len(lost) > 1:
        folders = ", ".join(str(folder) for _, folder in lost)
        raise EngineError(f"`{engine}` fits {len(lost)} damaged folders; give one: {folders}.")
    if damaged and lost:
        store, folder = lost[0]
        store.remove_damaged(folder)
        removed: dict[str, object] = {"kind": store.kind.noun, "folder": str(folder)}
    else:
        try:
            store, found = _find(engine)
        except EngineError as reason:
            if not lost:
                raise
            command = out.command("engines", "remove", lost[0][1], "--damaged")
            raise EngineError(f"{reason} To remove what is in that folder: {command}") from None
        store.remove(found)
        removed = _summary(found)
    out.say(f"Removed {removed['folder']}")
    out.result(removed)
    out.next("engines", "list")


def _stores() -> tuple[EngineStore, CheckpointStore]:
    return EngineStore(cache_root()), CheckpointStore(cache_root())


def _find(text: str) -> tuple[KeyedFolders[Stored], Stored]:
    stores: tuple[KeyedFolders[Stored], ...] = _stores()
    return resolve(stores, text)


def _target(engine: Engine) -> str:
    return f"{engine.target}, emulated" if engine.emulated else engine.target


def _made(found: Stored) -> tuple[str, str]:
    """Its size in MB, and when it was made."""
    return f"{found.manifest.size_bytes / 1e6:,.1f}", found.manifest.build.started_utc


def _summary(found: Stored) -> dict[str, object]:
    target: dict[str, object] = {}
    if isinstance(found, Engine):
        target = {"target": found.target, "emulated": found.emulated}
    return {
        "kind": "engine" if isinstance(found, Engine) else "quantised checkpoint",
        "key": found.key,
        "model": found.model,
        **target,
        "recipe": found.recipe,
        "size_bytes": found.manifest.size_bytes,
        "folder": str(found.folder),
    }
