"""`enginebench dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.validation import counted
from harness.cli.here import next_with_cpu
from harness.cli.output import Output

if TYPE_CHECKING:
    from harness.dataset.prepared import Dataset
    from harness.dataset.record import Origin
    from harness.dataset.shown import ShownPrompt
    from harness.dataset.sources.sample import Purpose
    from harness.dataset.sources.source import Source
    from harness.rules.workload import Workload

_ENDS = 8  # ids shown at either end of a prompt
_LINE = "-" * 72


def dataset(
    *,
    workload: str = "newsbrief",
    dataset: str | None = None,
    model: str | None = None,
    count: int | None = None,
    calibration: bool = False,
    set: tuple[str, ...] = (),
    show: int | None = None,
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
    set
        Change a field of the workload, as in a run: `--set workload.max_input_tokens=900`.
    show
        Also print this prompt (1 is the first) exactly as it is sent, and its ids.
    output
        Also write the samples here as .jsonl; the file must be new.
    json
        Write what was prepared to standard output as JSON.
    """
    from build_engine.checkpoint.resolve import resolve_tokenizer
    from build_engine.errors import UsageError
    from build_engine.paths import cache_root
    from harness.dataset.preparation import check_count, prepare
    from harness.dataset.shown import shown_prompt
    from harness.dataset.sources import bundled, rebuilt
    from harness.dataset.sources.source import Source
    from harness.progress import make_progress
    from harness.rules.workload import load_workload
    from harness.runs.place import require_own_place

    out = Output(as_json=json)
    if output is not None:
        require_own_place(output, dataset)
        _check_file(output)
    rules = load_workload(workload).with_settings(_of_workload(set))
    check_count(count)
    if show is not None and show < 1:
        raise UsageError(f"--show is {show}; give the number of a prompt, 1 for the first.")
    model = model or _own_model(rules)
    purpose: Purpose = "calibration" if calibration else "evaluation"
    progress = make_progress()
    try:
        folder = resolve_tokenizer(model, rules.revision_of(model), progress)
        source = Source.for_workload(dataset, rules, progress, purpose)
        whole = rules.num_samples if source.path is None else None
        asked = whole if count is None else count
        prepared = prepare(rules, source, folder, cache_root(), asked, progress, purpose)
    finally:
        progress.close()
    if not calibration:
        prepared.check_prompts(rules)  # a run would refuse them
    _show(out, prepared, rules)
    prompt = None
    if show is not None:
        prompt = shown_prompt(prepared, rules, source, folder, show, purpose)
        _show_prompt(out, prompt, show)
    if output is not None:
        _export(source, asked, purpose, output)
        out.say(f"Samples written to {output}")
    shown = {} if prompt is None else {"prompt": prompt.to_json()}
    out.result({"folder": str(prepared.folder), **prepared.record.to_json(), **shown})
    options = ["--model", model, "--workload", workload]
    for setting in set:
        options += ["--set", setting]
    found = dataset or (bundled.NAME if source.path is None else rebuilt.NAME)
    _say_next(out, _next_words(prepared, options, found, count), folder)


def _say_next(out: Output, words: list[object], folder: Path) -> None:
    if (folder / "config.json").is_file():
        next_with_cpu(out, *words)
    else:
        out.advice(f"get the weights of that tokenizer as well, then run: {out.command(*words)}")


def _show_prompt(out: Output, prompt: ShownPrompt, number: int) -> None:
    ids = prompt.ids
    first, last = (", ".join(map(str, part)) for part in (ids[:_ENDS], ids[-_ENDS:]))
    listed = f"{first} ... {last}" if len(ids) > 2 * _ENDS else ", ".join(map(str, ids))
    out.say(
        f"Prompt {number} has {counted(len(ids), 'token')} ({listed}) and is, between the lines:"
    )
    out.say(_LINE)
    for line in prompt.text.split("\n"):
        out.say(line)
    out.say(_LINE)


def _show(out: Output, prepared: Dataset, rules: Workload) -> None:
    record = prepared.record
    tokens = record.prompt_tokens
    out.say(str(prepared.folder))
    out.say(
        f"{counted(prepared.num_samples, 'sample')}; prompts of {tokens.min} to {tokens.max} "
        f"tokens, median {tokens.median}; the workload's whole set has {rules.num_samples:,}, its "
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
    for note in record.tokenizer_notes:
        out.say(f"Note: {note}")
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
    return [*run, "--scenario", Scenario.OFFLINE]


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


def _of_workload(settings: tuple[str, ...]) -> list[str]:
    """The settings without the word that they begin with. Raises UsageError for any other."""
    from build_engine.errors import UsageError

    for setting in settings:
        if not setting.startswith("workload."):
            raise UsageError(
                f"--set {setting}: a dataset depends on its workload alone; write it as "
                "--set workload.KEY=VALUE."
            )
    return [setting.removeprefix("workload.") for setting in settings]


def _check_file(output: Path) -> None:
    from build_engine.errors import UsageError
    from build_engine.files import check_writable

    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} exists; choose another name, or remove it.")
    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"--output {output}: name a file in a folder that exists.")
    check_writable(output.parent)


def _export(source: Source, count: int | None, purpose: Purpose, output: Path) -> None:
    from build_engine.files import cannot_write, replaced
    from harness.dataset.sources import jsonl

    try:
        with replaced(output) as part, part.open("wb") as stream:
            stream.writelines(jsonl.lines(source.samples(count, purpose)))
    except OSError as error:
        raise cannot_write(output, error) from None
