"""Where the figures come from: every test, machine, library, command and engine manifest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.report.html.cells import NOTHING, Cell, milliseconds, number
from harness.report.html.page import Invalid, Table, Titled
from harness.runs.repeats import folder_name
from harness.runs.worth import failures

if TYPE_CHECKING:
    from harness.loadgen.metrics import Metrics
    from harness.report.result import Result

MAX_MANIFESTS = 12
"""A page of many engines shows the first of them."""


def tests_table(results: Sequence[Result]) -> Table:
    """LoadGen's figures of each performance test; what a cell shows is named as in run.json."""
    rows = [
        (
            Cell(f"{result.name}/{folder_name(count)}"),
            Cell(str(result.scenario)),
            *_figures(metrics),
        )
        for result in results
        for count, metrics in enumerate(result.metrics, start=1)
    ]
    columns = [f"{time.upper()} {p}, ms" for time in ("ttft", "tpot") for p in ("p50", "p99")]
    return Table(
        caption="Rates are per second; TTFT is the time to the first token, TPOT that per output "
        "token.",
        columns=("test", "scenario", "tokens/s", "samples/s", *columns, "latency p99, ms"),
        rows=tuple(rows),
        notes=() if rows else ("No performance test is among these runs.",),
    )


def _figures(metrics: Metrics) -> list[Cell]:
    rates = [
        number(getattr(metrics, name), name=name) for name in ("tokens_per_s", "samples_per_s")
    ]
    fields = ("ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s", "latency_p99_s")
    return [*rates, *(milliseconds(getattr(metrics, name), name=name) for name in fields)]


def invalid_tests(results: Sequence[Result]) -> tuple[Invalid, ...]:
    """Every test that is not valid, with the rules that it breaks."""
    found = []
    for result in results:
        tests = [(mode, test) for mode, test in result.record.tests.begun.items()]
        again = result.record.repeats.tests if result.record.repeats else ()
        named = [*tests, *((folder_name(n), test) for n, test in enumerate(again, start=2))]
        for name, test in named:
            if not test.verdict.valid:
                found.append(Invalid(f"{result.name}, {name}", tuple(failures(test.verdict))))
    return tuple(found)


def machines_table(results: Sequence[Result]) -> Table:
    """Each distinct machine with the libraries that were on it, and the runs that it made."""
    together: dict[str, list[Result]] = {}
    for result in results:
        together.setdefault(_surroundings(result), []).append(result)
    rows = []
    for text, runs in together.items():
        record = runs[0].record
        versions = ", ".join(f"{name} {v}" for name, v in record.versions.items() if v)
        loadgen = {test.loadgen.version for run in runs for test in run.tests if test.loadgen}
        rows.append(
            (
                Cell(text.partition("\n")[0]),
                Cell(record.machine.kernel),
                Cell(f"{record.round}; LoadGen {', '.join(sorted(loadgen)) or NOTHING}"),
                Cell(versions),
                Cell(str(len(runs)), len(runs)),
            )
        )
    return Table(
        caption="Machines and libraries",
        columns=("machine", "kernel", "round", "libraries", "runs"),
        rows=tuple(rows),
    )


def _surroundings(result: Result) -> str:
    gpus = result.record.system.fields.get("accelerator_model_name")
    machine = f"{result.record.machine}{f', {gpus}' if gpus else ''}"
    return f"{machine}\n{result.record.round}\n{sorted(result.versions.items(), key=str)}"


def commands(results: Sequence[Result]) -> tuple[Titled, ...]:
    """The command of each run."""
    return tuple(
        Titled(f"command-{count}", result.name, result.record.command)
        for count, result in enumerate(results, start=1)
    )


def manifests(results: Sequence[Result]) -> tuple[Titled, ...]:
    """The manifest of each engine, once; of the first few where they are many."""
    engines = {
        each.engine.key: (each.called, each.engine) for each in results if each.engine is not None
    }
    return tuple(
        Titled(
            f"manifest-{count}",
            f"{called} for {engine.identity.target.name}, engine.json",
            json.dumps(engine.model_dump(mode="json", by_alias=True), indent=2),
        )
        for count, (called, engine) in enumerate([*engines.values()][:MAX_MANIFESTS], start=1)
    )
