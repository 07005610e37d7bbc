"""`enginebench runs`: what was run, at any time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App

from build_engine.errors import EXIT_OK, EXIT_RESULT
from harness.cli.here import TRIED, next_with_cpu
from harness.cli.options import FIELDS
from harness.cli.output import Output
from harness.report.history import RunFilter

if TYPE_CHECKING:
    from harness.report.history import Entry

app = App(name="runs", help="Find runs, of any time.", result_action="return_value")

_RESULTS = Path("results")


@app.command(name="list")
def list_runs(
    folders: list[Path] | None = None,
    *,
    wanted: Annotated[RunFilter | None, FIELDS] = None,
    json: bool = False,
) -> int:
    """List the runs in folders, the latest first.

    Parameters
    ----------
    folders
        Run folders, or folders above some; results when left out.
    json
        Write the list to standard output as JSON.
    """
    from harness.report.find import is_empty
    from harness.report.history import history

    out = Output(as_json=json)
    places, filtered = folders or [_RESULTS], wanted or RunFilter()
    filtered.check()
    nothing_yet = folders is None and is_empty(_RESULTS)
    entries, unreadable = ((), ()) if nothing_yet else history(places, filtered)
    out.table(
        ["folder", "began (UTC)", "recipe", "scenario", "status", "tokens/s", "ROUGE-1", "marks"],
        [_row(entry) for entry in entries],
    )
    for lost in unreadable:
        out.say(f"not read: {lost.reason}")
    out.say(f"{len(entries)} runs" if entries else "No run there fits.")
    out.result(
        {
            "runs": [entry.model_dump(mode="json") for entry in entries],
            "unreadable": [lost.model_dump(mode="json") for lost in unreadable],
        }
    )
    complete = [entry.folder for entry in entries if entry.status == "complete"]
    if len({entry.recipe for entry in entries if entry.status == "complete"}) > 1:
        out.next("compare", *places)
    elif len(complete) > 1:
        out.next("compare", *complete[1::-1])
    else:
        next_with_cpu(out, "run", *TRIED, "--scenario", "Offline", "--count", "100")
    return EXIT_RESULT if unreadable else EXIT_OK


def _row(entry: Entry) -> list[str]:
    status = entry.status if entry.valid is not False else "complete, does not pass"
    rate, score = entry.tokens_per_s, entry.rouge1
    return [
        entry.folder,
        entry.started_utc.replace("T", " ").removesuffix("+00:00"),
        entry.called,
        str(entry.scenario),
        status,
        "-" if rate is None else f"{rate:,.0f}",
        "-" if score is None else f"{score:.2f}",
        ", ".join(entry.marks) or "-",
    ]
