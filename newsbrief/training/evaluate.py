"""ROUGE of a checkpoint folder on validation articles, with transformers, greedy, in float32.

Run as `python -m newsbrief.training.evaluate --count 500`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from newsbrief import CHECKPOINT, PROMPT_TEMPLATE, articles

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True, slots=True)
class Result:
    """Mean F-measures times 100, and how many summaries equal the reference (percent)."""

    num_articles: int
    rouge: dict[str, float]
    exact_percent: float
    mean_new_tokens: float


def generate(folder: Path, prompts: list[str], batch_size: int) -> list[list[int]]:
    """Greedy continuations, at most 128 tokens each, in the order of the prompts."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    outputs: list[list[int]] = [[] for _ in prompts]
    for start in range(0, len(order), batch_size):
        group = order[start : start + batch_size]
        inputs = tokenizer([prompts[i] for i in group], return_tensors="pt", padding=True)
        with torch.inference_mode():
            ids = model.generate(**inputs, max_new_tokens=128, do_sample=False)
        for i, row in zip(group, ids[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
            outputs[i] = row[: row.index(1)] if 1 in row else row
    return outputs


def evaluate(folder: Path, count: int, start: int, batch_size: int, show: int = 0) -> Result:
    """Summarises `count` articles of the `validation` split and compares with the highlights."""
    from rouge_score_rs import rouge_scorer
    from tokenizers import Tokenizer

    items = list(articles("validation", count, start=start))
    prompts = [PROMPT_TEMPLATE.format(article=item.article) for item in items]
    outputs = generate(folder, prompts, batch_size)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = [tokenizer.decode(ids) for ids in outputs]
    make_scorer: Any = rouge_scorer.RougeScorer
    scorer = make_scorer(list(ROUGE_TYPES), use_stemmer=True)
    sums = dict.fromkeys(ROUGE_TYPES, 0.0)
    for item, text in zip(items, texts, strict=True):
        for name, score in scorer.score(item.highlights, text).items():
            sums[name] += score.fmeasure
    for item, text in zip(items[:show], texts, strict=False):
        sys.stderr.write(f"{item.highlights}\n  -> model\n{text}\n\n")
    exact = sum(item.highlights == text for item, text in zip(items, texts, strict=True))
    return Result(
        num_articles=count,
        rouge={name: round(100 * total / count, 2) for name, total in sums.items()},
        exact_percent=round(100 * exact / count, 1),
        mean_new_tokens=round(sum(len(ids) for ids in outputs) / count, 1),
    )


def main() -> None:
    """The command line; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--show", type=int, default=0, help="so many pairs on stderr")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = evaluate(options.checkpoint, options.count, options.start, options.batch, options.show)
    fields = {name: getattr(result, name) for name in Result.__dataclass_fields__}
    sys.stdout.write(json.dumps(fields, indent=2) + "\n")


if __name__ == "__main__":
    main()
