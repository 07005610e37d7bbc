"""`python -m benchmarks [NAME ...]`: run benchmarks one after the other, show them, write JSON."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import (
    ceiling,
    dataset,
    efficiency,
    emulation,
    fleet,
    head,
    peers,
    recipes,
    search,
    simulation,
    startup,
    ways,
)
from benchmarks.noise import StolenTime
from benchmarks.result import Result
from build_engine.errors import EXIT_INTERRUPTED, EXIT_OK, EnginebenchError, UnknownName
from harness.cli.output import Output
from harness.machine.facts import library_versions, machine_facts
from harness.progress import Progress, make_progress

_SCHEMA_VERSION = 1
_LONG_PROMPT_TOKENS = 600  # of the prompts for another model than newsbrief
Options = argparse.Namespace
Benchmark = Callable[[Options, Progress], Result]


def _efficiency(options: Options, progress: Progress) -> Result:
    return efficiency.measure(
        options.recipe, options.samples or 300, options.repeats or 10, progress
    )


def _ways(options: Options, progress: Progress) -> Result:
    return ways.measure(options.recipe, options.samples or 300, options.repeats or 10, progress)


def _ceiling(options: Options, progress: Progress) -> Result:
    load = ceiling.Load(
        offline_samples=options.samples or 200_000, server_qps=options.qps, server_s=options.seconds
    )
    return ceiling.measure(load, options.repeats or 3, progress)


def _simulation(options: Options, progress: Progress) -> Result:
    load = simulation.Load(
        samples=options.samples or simulation.NUM_SAMPLES,
        server_qps=options.qps,
        server_s=options.seconds,
    )
    return simulation.measure(load, options.repeats or 3, progress)


def _head(options: Options, progress: Progress) -> Result:
    return head.measure(options.samples or 4096, options.repeats or 3, progress)


def _fleet(options: Options, progress: Progress) -> Result:
    return fleet.measure(options.samples or 400, options.repeats or 1, progress)


def _search(options: Options, progress: Progress) -> Result:
    return search.measure(options.repeats or 4, progress)


def _dataset(options: Options, progress: Progress) -> Result:
    import newsbrief

    folder = newsbrief.CHECKPOINT if options.model == "newsbrief" else Path(options.model)
    count = options.samples or dataset.NUM_SAMPLES
    return dataset.measure(count, folder, options.repeats or 3, progress)


def _startup(options: Options, progress: Progress) -> Result:
    return startup.measure(options.repeats or 20, progress)


def _emulation(options: Options, progress: Progress) -> Result:
    choice = emulation.Choice(
        model=options.model,
        workload=options.workload,
        dataset=options.dataset,
        calibration=options.calibration,
        count=options.samples or emulation.NUM_SAMPLES,
        recipes=tuple(options.recipes or ()),
        prompts=options.prompts,
    )
    return emulation.measure(choice, progress)


def _peers(options: Options, progress: Progress) -> Result:
    bundled = options.model == "newsbrief"
    choice = peers.Choice(
        model=options.model,
        concurrencies=tuple(options.concurrency or peers.CONCURRENCIES),
        new_tokens=options.new_tokens,
        min_prompt_tokens=0 if bundled else _LONG_PROMPT_TOKENS,
        waves=options.samples or (16 if bundled else 4),
        rounds=options.repeats or (3 if bundled else 1),
        peers=tuple(peer.name for peer in peers.PEERS if not options.no_peers),
    )
    return peers.measure(choice, options.peers_python, progress)


def _recipes(options: Options, progress: Progress) -> Result:
    peer = not options.no_peers
    return recipes.measure(
        options.model,
        options.repeats or 3,
        options.samples or 8,
        peer,
        options.peers_python,
        progress,
    )


BENCHMARKS: dict[str, Benchmark] = {
    "startup": _startup,
    "dataset": _dataset,
    "ceiling": _ceiling,
    "simulation": _simulation,
    "head": _head,
    "search": _search,
    "efficiency": _efficiency,
    "ways": _ways,
    "emulation": _emulation,
    "peers": _peers,
    "recipes": _recipes,
    "fleet": _fleet,
}


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; the exit code."""
    options = _options(arguments)
    output = Output(as_json=False)
    progress = make_progress()
    machine = machine_facts()
    document: dict[str, Any] = {
        "schema_version": _SCHEMA_VERSION,
        "command": ["python", "-m", "benchmarks", *(arguments or sys.argv[1:])],
        "started_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine.model_dump(mode="json"),
        "versions": library_versions(),
        "benchmarks": {},
    }
    output.say(str(machine))
    try:
        for name in options.names:
            if name not in BENCHMARKS:
                raise UnknownName("benchmark", name, BENCHMARKS)
        for name in options.names or BENCHMARKS:
            conditions = {"load_average_before": os.getloadavg()[0]}
            stolen = StolenTime()
            result = BENCHMARKS[name](options, progress)
            progress.close()
            conditions["stolen_share"] = stolen.share()
            document["benchmarks"][name] = {**conditions, **result.to_json()}
            _show(output, result, conditions)
            _write(options.output, document)
    except EnginebenchError as error:
        progress.close()
        output.error(str(error), error.exit_code)
        return error.exit_code
    except KeyboardInterrupt:
        progress.close()
        return EXIT_INTERRUPTED
    output.say()
    output.say(f"Written: {options.output}")
    return EXIT_OK


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {names} (default: all)")
    add = parser.add_argument
    add("--output", type=Path, default=Path("results/bench.json"), help="the JSON file")
    add("--repeats", type=int, help="repetitions of each measurement")
    add("--samples", type=int, help="samples, or for peers requests at concurrency 1")
    add("--recipe", default="int8_wo", help="efficiency, ways: the engine's recipe")
    add(
        "--qps",
        type=float,
        default=ceiling.SERVER_GOAL,
        help="ceiling, simulation: Server queries/s",
    )
    add("--seconds", type=float, default=6.0, help="ceiling, simulation: length of the Server test")
    add(
        "--model",
        default="newsbrief",
        help="peers, recipes, dataset, emulation: a checkpoint folder",
    )
    add("--workload", default="newsbrief", help="emulation: a workload or its .yaml file")
    add("--dataset", help="emulation: a .jsonl of articles")
    add("--calibration", help="emulation: a .jsonl of articles for calibrated recipes")
    add("--recipes", nargs="+", help="emulation: bf16 and only these")
    add("--prompts", type=int, help="emulation: calibration prompts, instead of the recipe's")
    add("--concurrency", type=int, nargs="+", help="peers: requests at once")
    add("--new-tokens", type=int, default=64, help="peers: length of every answer")
    add("--no-peers", action="store_true", help="peers: only this project's engines")
    add("--peers-python", type=Path, help="peers: a Python that has their libraries")
    return parser.parse_args(arguments)


def _show(output: Output, result: Result, conditions: dict[str, float]) -> None:
    output.say()
    output.say(
        f"{result.title} (load average before: {conditions['load_average_before']:.1f}; CPU time "
        f"stolen by the host: {100 * conditions['stolen_share']:.1f} %)"
    )
    if result.figures:
        rows = [item.row() for item in result.figures]
        output.table(("", "median", "spread +-", "goal"), rows)
    for table in result.tables:
        output.say()
        output.table(table.columns, table.rows, title=table.title)
    for note in result.notes:
        output.say(f"  {note}")


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
