"""`enginebench engines`: the store of built engines."""

from __future__ import annotations

from cyclopts import App

from build_engine.errors import EXIT_OK, EXIT_RESULT
from build_engine.paths import cache_root
from build_engine.store.engine import Engine
from build_engine.store.store import EngineStore, flat
from harness.cli.here import TRIED, next_with_cpu
from harness.cli.output import Output

app = App(
    name="engines",
    help="List, explain, verify and remove built engines.",
    result_action="return_value",
)


@app.command(name="list")
def list_engines(*, json: bool = False) -> None:
    """List the engines in the store.

    Parameters
    ----------
    json
        Write the list to standard output as JSON.
    """
    out = Output(as_json=json)
    store = EngineStore(cache_root())
    engines = store.list()
    rows = [
        [
            engine.key[:12],
            engine.model,
            engine.target,
            engine.recipe,
            f"{engine.size_bytes / 1e6:,.1f}",
            engine.manifest.build.started_utc,
        ]
        for engine in engines
    ]
    out.say(str(store.root))
    out.table(["key", "model", "target", "recipe", "MB", "built (UTC)"], rows)
    damaged = list(store.damaged().values())
    for problem in damaged:
        out.say(f"damaged: {problem}")
    out.result({"engines": [_summary(engine) for engine in engines], "damaged": damaged})
    if damaged:
        out.next("engines", "verify")
    elif engines:
        out.next("engines", "verify", engines[0].key[:12])
    else:
        next_with_cpu(out, "build", *TRIED)


@app.command
def show(engine: str, *, json: bool = False) -> None:
    """Show an engine's manifest.

    Parameters
    ----------
    engine
        Its key (the first characters do), its folder, or model/target/recipe.
    json
        Write the manifest to standard output as JSON.
    """
    out = Output(as_json=json)
    found = EngineStore(cache_root()).resolve(engine)
    manifest = found.manifest
    out.say(str(found.folder))
    rows = [
        [field, str(value)]
        for field, value in flat(manifest)
        if field.split(".")[0] in ("identity", "precision", "runtime", "build")
    ]
    out.table(["field", "value"], rows)
    out.result({"folder": str(found.folder), **manifest.to_json()})
    out.next("engines", "verify", found.key[:12])


@app.command
def why(first: str, second: str, *, json: bool = False) -> None:
    """Say in which fields two engines differ, and so why one does not serve for the other.

    Parameters
    ----------
    first
        An engine: key, folder, or model/target/recipe.
    second
        Another one.
    json
        Write the differences to standard output as JSON.
    """
    out = Output(as_json=json)
    store = EngineStore(cache_root())
    a, b = store.resolve(first), store.resolve(second)
    differences = store.why(a.identity, b.identity)
    if differences:
        rows = [[field, str(left), str(right)] for field, left, right in differences]
        out.table(["field", a.key[:12], b.key[:12]], rows)
    else:
        out.say("They are the same engine.")
    out.result([{"field": f, "first": left, "second": right} for f, left, right in differences])
    out.next("engines", "show", a.key[:12])


@app.command
def verify(engine: str | None = None, *, json: bool = False) -> int:
    """Check the files of an engine, or of all engines, against their checksums.

    Parameters
    ----------
    engine
        Key, folder, or model/target/recipe; all that lies in the store when left out.
    json
        Write the problems to standard output as JSON.
    """
    out = Output(as_json=json)
    store = EngineStore(cache_root())
    engines = [store.resolve(engine)] if engine else store.list()
    problems = {e.key[:12]: store.verify(e) for e in engines}
    for found in engines:
        wrong = problems[found.key[:12]]
        out.say(f"{found.key[:12]} {found.model} {found.recipe}: {'; '.join(wrong) or 'sound'}")
    bad = [key for key, wrong in problems.items() if wrong]
    readable = {found.folder for found in engines}
    unreadable = {} if engine else store.damaged()
    for folder, problem in unreadable.items():
        if folder not in readable:
            out.say(problem)
            problems[str(folder)] = [problem]
    out.result(problems)
    if bad:
        out.next("engines", "remove", bad[0])
    elif lost := [folder for folder in unreadable if folder not in readable]:
        out.advice(f"remove {lost[0]}, and build that engine again")
    else:
        out.next("engines", "list")
    return EXIT_RESULT if any(problems.values()) else EXIT_OK


@app.command
def remove(engine: str, *, json: bool = False) -> None:
    """Remove an engine from the store.

    Parameters
    ----------
    engine
        Key, folder, or model/target/recipe.
    json
        Write what was removed to standard output as JSON.
    """
    out = Output(as_json=json)
    store = EngineStore(cache_root())
    found = store.resolve(engine)
    store.remove(found)
    out.say(f"Removed {found.folder}")
    out.result(_summary(found))
    out.next("engines", "list")


def _summary(engine: Engine) -> dict[str, object]:
    return {
        "key": engine.key,
        "model": engine.model,
        "target": engine.target,
        "recipe": engine.recipe,
        "size_bytes": engine.size_bytes,
        "folder": str(engine.folder),
    }
