"""Writes `training.json` beside the weights: what was trained, and what was measured.

Run as `python -m newsbrief.training.record`, after the training; it evaluates the checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from newsbrief import CHECKPOINT
from newsbrief.training.evaluate import evaluate
from newsbrief.training.export import replace

PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "rouge-score-rs")


def record(folder: Path, state_folder: Path, count: int) -> dict[str, Any]:
    """The record as a JSON object; `state_folder` is where the training left its files."""
    state = json.loads((state_folder / "curve.json").read_text())
    options = json.loads((state_folder / "options.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    return {
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "seed": options["seed"],
        "options": options,
        "steps": state["step"],
        "tokens": state["tokens"],
        "wall_s": round(state["elapsed_s"]),
        "curve": state["curve"],
        "evaluation": {
            "split": "validation",
            "decoding": "greedy, float32, at most 128 new tokens, transformers generate",
            **asdict(evaluate(folder, count, start=0, batch_size=25)),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--state", type=Path, default=Path("/tmp/newsbrief-train"))
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    content = record(options.checkpoint, options.state, options.count)
    replace(options.checkpoint / "training.json", json.dumps(content, indent=2).encode() + b"\n")
    sys.stdout.write(json.dumps(content["evaluation"], indent=2) + "\n")


if __name__ == "__main__":
    main()
