"""Score accuracy logs with the MLPerf reference's own `evaluation.py`, for the tests to compare
with.

Run it in an environment with that script's libraries (torch, transformers, evaluate, nltk 3.8.1,
rouge-score, pandas), which the project itself does not need:

    python -m tests.reference.record_evaluation --reference DIR --rouge DIR --punkt FILE --log LOG

`--reference` is `language/llama3.1-8b` of mlcommons/inference, `--rouge` is `metrics/rouge` of
huggingface/evaluate and `--punkt` NLTK's `english.pickle`: what the script would fetch from the
network. `--log` is LoadGen's log of an accuracy run of newsbrief.

It writes the log and the score to `evaluation/newsbrief.json`; and to `evaluation/varied.json`
those of texts with all that makes sentences hard to split. With `--only-print` it writes nothing
and prints the score of the log, which may then be of any length.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from build_engine.checkpoint.tokenizer import Tokenizer
from newsbrief import CHECKPOINT, articles

OUTPUT = Path(__file__).parent / "evaluation"
_SENTENCES = Path(__file__).parents[1] / "harness" / "scoring" / "fixtures" / "sentences.json"
_LIBRARIES = ("transformers", "evaluate", "nltk", "rouge-score", "numpy")
_QUOTED = re.compile(r"'(rouge\w+)': '([\d.]+)'")
_COUNTED = re.compile(r"'(gen_\w+)': (?:np\.int64\()?(\d+)")


def main() -> None:
    """Record the two cases, or print the score of one log."""
    options = _options()
    entries = json.loads(options.log.read_text(encoding="utf-8"))
    count = 1 + max(entry["qsl_idx"] for entry in entries)
    references = [item.highlights for item in articles("validation", count)]
    found = reference_scores(options, entries, references)
    if options.only_print:
        sys.stdout.write(json.dumps(found) + "\n")
        return
    _write("newsbrief", entries, references, found)
    entries, references = _varied()
    _write("varied", entries, references, reference_scores(options, entries, references))


def reference_scores(
    options: argparse.Namespace, entries: list[dict[str, Any]], references: Sequence[str]
) -> dict[str, float]:
    """What the reference prints for a log, with its network replaced by local files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log, dataset = folder / "mlperf_log_accuracy.json", folder / "cnn_eval.json"
        log.write_text(json.dumps(entries), encoding="utf-8")
        rows = [{"input": "-", "tok_input": [0], "output": text} for text in references]
        dataset.write_text(json.dumps(rows), encoding="utf-8")
        punkt = folder / "tokenizers" / "punkt" / "PY3" / "english.pickle"
        punkt.parent.mkdir(parents=True)
        shutil.copyfile(options.punkt, punkt)
        arguments = ["evaluation.py", "--mlperf-accuracy-file", str(log), "--dtype", "int32"]
        arguments += ["--dataset-file", str(dataset), "--model-name", str(CHECKPOINT)]
        arguments += ["--total-sample-count", str(len(references))]
        printed = _run_reference(options, arguments, folder)
    scores = {key: float(value) for key, value in _QUOTED.findall(printed)}
    return scores | {key: int(value) for key, value in _COUNTED.findall(printed)}


def _run_reference(options: argparse.Namespace, arguments: list[str], nltk_data: Path) -> str:
    """The output of the reference's `main`."""
    sys.path.insert(0, str(options.reference))
    import evaluate
    import evaluation
    import nltk

    rouge = evaluate.load(str(options.rouge))
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", arguments),
        mock.patch.object(evaluate, "load", lambda name: rouge),
        mock.patch.object(nltk, "download", lambda name: True),
        mock.patch.object(nltk.data, "path", [str(nltk_data)]),
        contextlib.redirect_stdout(printed),
    ):
        evaluation.main()
    return printed.getvalue()


def _varied() -> tuple[list[dict[str, Any]], list[str]]:
    """A log whose answers are the texts of the sentence fixture; each against its sorted words and
    the next text, so that the four metrics differ.
    """
    texts = [case["text"] for case in json.loads(_SENTENCES.read_text(encoding="utf-8"))]
    references = [
        f"{' '.join(sorted(text.split()))} {following}"
        for text, following in zip(texts, texts[1:] + texts[:1], strict=True)
    ]
    entries = [
        {
            "seq_id": index,
            "qsl_idx": index,
            "data": np.asarray(ids, np.int32).tobytes().hex().upper(),
            "token_count": len(ids),
        }
        for index, ids in enumerate(Tokenizer.load(CHECKPOINT).encode_batch(texts))
    ]
    return entries, references


def _write(
    name: str, entries: list[dict[str, Any]], references: Sequence[str], scores: dict[str, float]
) -> None:
    OUTPUT.mkdir(exist_ok=True)
    versions = {library: importlib.metadata.version(library) for library in _LIBRARIES}
    content = {
        "versions": versions,
        "scores": scores,
        "references": list(references),
        "log": entries,
    }
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (OUTPUT / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("reference", "rouge", "punkt", "log"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--only-print", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
