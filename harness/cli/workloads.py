"""`enginebench workloads`."""

from __future__ import annotations

import json as text
from typing import TYPE_CHECKING

from build_engine.fields import flat
from harness.cli.here import TRIED, next_with_cpu
from harness.cli.options import RoundName
from harness.cli.output import Output
from harness.rules.rounds import DEFAULT

if TYPE_CHECKING:
    from harness.rules.workload import Workload

_FIXED = ("name", "title", "benchmark", "model", "data", "sources")  # what it is, and where from


def workloads(name: str | None = None, *, round: RoundName = DEFAULT, json: bool = False) -> None:
    """List the workloads, or show the fields of one: `run --set workload.FIELD=VALUE` changes them.

    Parameters
    ----------
    name
        A workload by its name, or a .yaml file.
    json
        Write it, or all of them, to standard output as JSON.
    """
    from harness.dataset.sources import bundled
    from harness.rules.rounds import load_round
    from harness.rules.workload import load_workload, workload_names

    out, chosen = Output(as_json=json), load_round(round)
    if name is None:
        found = [load_workload(each, chosen) for each in workload_names()]
        _list(out, found)
        out.result([workload.model_dump(mode="json") for workload in found])
        out.next("workloads", found[-1].name)
        return
    workload = load_workload(name, chosen)
    _show(out, workload)
    out.result(workload.model_dump(mode="json"))
    first = next(iter(workload.scenarios))
    trial = ["--workload", name, "--scenario", first, "--count", 200]
    changed = ["--set", f"workload.max_new_tokens={max(workload.max_new_tokens // 2, 1)}"]
    if workload.name == bundled.NAME:
        next_with_cpu(out, "run", *TRIED, *trial, *changed)
    else:
        command = out.command("run", "--model", "NAME", "--recipe", "int8_wo", *trial, *changed)
        out.advice(f"a trial with a field changed: {command} --dataset FILE")


def _list(out: Output, found: list[Workload]) -> None:
    out.table(
        ["workload", "samples", "prompt\ntokens", "answer\ntokens", "scenarios", "title"],
        [
            [
                workload.name,
                f"{workload.num_samples:,}",
                f"{workload.max_input_tokens:,}",
                f"{workload.max_new_tokens:,}",
                ", ".join(workload.scenarios),
                workload.title,
            ]
            for workload in found
        ],
    )


def _show(out: Output, workload: Workload) -> None:
    """The fields that a user may have a reason to change; one that is null can be given a value."""
    out.say(f"{workload.title}; a run changes a field by --set workload.FIELD=VALUE")
    rows = [
        [field, text.dumps(value, ensure_ascii=False)]
        for field, value in flat(workload.model_dump(mode="json"))
        if field.partition(".")[0] not in _FIXED
    ]
    out.table(["field", "value"], rows)
