"""`enginebench dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.output import Output, new_folder

if TYPE_CHECKING:
    from harness.dataset.prepared import Dataset
    from harness.dataset.record import Origin
    from harness.dataset.sources.sample import Purpose
    from harness.dataset.sources.source import Source
    from harness.rules.workload import Workload


def dataset(
    *,
    workload: str = "newsbrief",
    dataset: str | None = None,
    model: str | None = None,
    count: int | None = None,
    calibration: bool = False,
    output: Path | None = None,
    json: bool = False,
) -> None:
    """Prepare a dataset (tokenise it inside the workload's prompt), or show what is in it.

    Parameters
    ----------
    workload
        Whose prompt the articles are put in.
    dataset
        The official cnn_eval.json, a .jsonl of article/highlights, a folder with a copy of the
        hub's dataset, `cnn_dailymail` to fetch it (the default of an MLPerf workload; needs
        enginebench[hub]), or `newsbrief`.
    model
        The checkpoint whose tokenizer is used: `newsbrief` unless the workload is MLPerf's.
    count
        Only the first COUNT samples, for a trial.
    calibration
        The file is the calibration set, not the one that is evaluated.
    output
        Also write the samples here as .jsonl; the file must be new.
    json
        Write what was prepared to standard output as JSON.
    """
    from build_engine.checkpoint.resolve import resolve_tokenizer
    from build_engine.paths import cache_root
    from harness.dataset.preparation import check_count, prepare
    from harness.dataset.sources import bundled, rebuilt
    from harness.dataset.sources.source import Source
    from harness.progress import make_progress
    from harness.rules.workload import load_workload

    out = Output(as_json=json)
    if output is not None:
        _check_file(output)
    rules = load_workload(workload)
    check_count(count)
    model = model or _own_model(rules)
    purpose: Purpose = "calibration" if calibration else "evaluation"
    progress = make_progress()
    try:
        folder = resolve_tokenizer(model, rules.revision_of(model), progress)
        source = Source.for_workload(dataset, rules, progress, purpose)
        if count is None and source.path is None:
            count = rules.num_samples
        prepared = prepare(rules, source, folder, cache_root(), count, progress, purpose)
    finally:
        progress.close()
    _show(out, prepared, rules)
    if output is not None:
        _export(source, count, purpose, output)
        out.say(f"Samples written to {output}")
    out.result({"folder": str(prepared.folder), **prepared.record.to_json()})
    found = dataset or (bundled.NAME if source.path is None else rebuilt.NAME)
    trial = count if source.path else None
    out.next(*_next_words(prepared, ["--model", model, "--workload", workload], found, trial))


def _show(out: Output, prepared: Dataset, rules: Workload) -> None:
    record = prepared.record
    tokens = record.prompt_tokens
    out.say(str(prepared.folder))
    out.say(
        f"{prepared.num_samples:,} samples; prompts of {tokens.min} to {tokens.max} tokens, "
        f"median {tokens.median}; the workload's whole set has {rules.num_samples:,}, its "
        f"longest prompt {rules.max_input_tokens}"
    )
    if record.origin is not None:
        out.say(f"From {_origin(record.origin)}")
    out.say(f"sha256 of prompts and references  {prepared.digest}")
    out.say(f"sha256 of articles and references {record.articles_digest}")
    ids = record.official_ids
    if ids.compared:
        shown = "; ".join(
            f"sample {each.sample} from token {each.token}" for each in record.first_differences
        )
        out.say(
            f"{ids.different:,} of {ids.compared:,} prompts differ from the file's "
            f"own `tok_input`{f' (first: {shown})' if shown else ''}"
        )
    if prepared.benchmark is not None:
        out.say(
            f"This is the whole set of MLPerf {prepared.benchmark}, as far as can be checked: "
            "MLCommons publishes no checksum"
        )
        for note in record.notes:
            out.say(f"Note: {note}")
    elif prepared.shortfalls:
        out.say(f"Not the set of an MLPerf benchmark: {'; '.join(prepared.shortfalls)}")
    else:
        out.say(f"The calibration set of MLPerf {rules.benchmark}, as far as can be checked")


def _origin(origin: Origin) -> str:
    revision = f" at {origin.revision}" if origin.revision else ""
    return (
        f"{origin.folder or origin.hub}{revision}, {origin.config}, {origin.split} split of "
        f"{origin.split_samples:,} rows"
    )


def _next_words(
    prepared: Dataset, options: list[str], dataset: str, count: int | None
) -> list[object]:
    """The command that takes what was prepared: `options` name its model and workload."""
    from harness.rules.scenario import Scenario

    if prepared.record.purpose == "calibration":
        return ["build", *options, "--recipe", "int4_awq", "--calibration", dataset]
    trial = ["--count", count] if count is not None else []
    run = ["run", *options, "--recipe", "int8_wo", "--dataset", dataset, *trial]
    return [*run, "--scenario", Scenario.OFFLINE, "--output", new_folder("results/first")]


def _own_model(rules: Workload) -> str:
    """The model of a workload of ours; raises UsageError for an MLPerf one."""
    from build_engine.errors import UsageError
    from harness.dataset.sources import bundled

    if rules.benchmark is None:
        return bundled.NAME
    example = f"a folder, or {rules.model.hub}" if rules.model else "a folder, or its hub id"
    raise UsageError(
        f"Prompts of {rules.name} depend on the model's tokenizer; give the checkpoint by --model "
        f"({example})."
    )


def _check_file(output: Path) -> None:
    from build_engine.errors import UsageError

    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} exists; choose another name, or remove it.")
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"--output {output}: name a file in a folder that exists.")


def _export(source: Source, count: int | None, purpose: Purpose, output: Path) -> None:
    from build_engine.files import cannot_write, replaced
    from harness.dataset.sources import jsonl

    try:
        with replaced(output) as part, part.open("wb") as stream:
            stream.writelines(jsonl.lines(source.samples(count, purpose)))
    except OSError as error:
        raise cannot_write(output, error) from None
