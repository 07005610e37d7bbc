"""`enginebench dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.output import Output

if TYPE_CHECKING:
    from harness.dataset import Source


def dataset(
    *,
    workload: str = "newsbrief",
    dataset: str | None = None,
    model: str = "newsbrief",
    count: int | None = None,
    output: Path | None = None,
    json: bool = False,
) -> None:
    """Prepare a dataset (tokenise it inside the workload's prompt), or show what is in it.

    Parameters
    ----------
    workload
        Whose prompt the articles are put in.
    dataset
        A .jsonl of article/highlights, the official cnn_eval.json, or `newsbrief`.
    model
        The checkpoint whose tokenizer is used.
    count
        Only the first COUNT samples.
    output
        Also write the samples here as .jsonl.
    json
        Write what was prepared to standard output as JSON.
    """
    from build_engine.checkpoint import resolve_checkpoint
    from build_engine.digest import cache_root
    from build_engine.errors import UsageError
    from harness.dataset import BUNDLED, Source, prepare
    from harness.progress import make_progress
    from harness.workload import load_workload

    out = Output(as_json=json)
    if output is not None:
        _check_file(output)
    rules = load_workload(workload)
    if dataset is None and workload != BUNDLED:
        raise UsageError(f"Workload `{workload}` needs its data: --dataset FILE.")
    source = Source.find(BUNDLED if dataset is None else dataset)
    if count is None and source.path is None:
        count = rules.num_samples
    progress = make_progress()
    try:
        checkpoint = resolve_checkpoint(model)
        prepared = prepare(rules, source, checkpoint.folder, cache_root(), count, progress)
    finally:
        progress.close()
    tokens = prepared.meta["prompt_tokens"]
    out.say(str(prepared.folder))
    out.say(
        f"{prepared.num_samples:,} samples; prompts of {tokens['min']} to {tokens['max']} tokens, "
        f"median {tokens['median']}; the workload's whole set has {rules.num_samples:,}, its "
        f"longest prompt {rules.max_input_tokens}"
    )
    out.say(f"sha256 {prepared.digest}")
    compared = prepared.meta["official_ids"]
    if compared["compared"]:
        out.say(
            f"{compared['different']:,} of {compared['compared']:,} prompts differ from the file's "
            f"own `tok_input`"
        )
    if output is not None:
        _export(source, count, output)
        out.say(f"Samples written to {output}")
    out.result({"folder": str(prepared.folder), **prepared.meta})
    out.next(
        f"enginebench run --model {model} --recipe int8_wo --workload {workload} "
        f"--dataset {dataset or BUNDLED} --scenario Offline --output results/first"
    )


def _check_file(output: Path) -> None:
    from build_engine.errors import UsageError

    if output.is_dir() or not output.parent.is_dir():
        raise UsageError(f"--output {output}: name a file in a folder that exists.")


def _export(source: Source, count: int | None, output: Path) -> None:
    import json

    from harness.record import cannot_write

    temporary = output.with_name(f".{output.name}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for sample in source.samples(count):
                row = {"article": sample.article, "highlights": sample.reference}
                file.write(json.dumps(row) + "\n")
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise cannot_write(output, error) from None
