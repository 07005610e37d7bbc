"""Writes a trained model as a Hugging Face folder, each file replaced in one step."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save

from newsbrief.training.model import CONFIG, Llama

GENERATION = {
    "_from_model_config": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "do_sample": False,
    "max_new_tokens": 128,
}


def export(model: Llama, folder: Path) -> None:
    """Weights in bfloat16, `config.json` and `generation_config.json`; the rest stays as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: weight.detach().to(torch.bfloat16).contiguous()
        for name, weight in model.state_dict().items()
    }
    replace(folder / "config.json", json.dumps(CONFIG, indent=2).encode() + b"\n")
    replace(folder / "generation_config.json", json.dumps(GENERATION, indent=2).encode() + b"\n")
    replace(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))


def replace(path: Path, content: bytes) -> None:
    """Writes a file beside `path` and renames it, so that a reader never sees half of it."""
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)
