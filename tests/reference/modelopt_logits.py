"""Model Optimizer's own simulation of a job: its logits and each linear layer's input and output.

Takes the place of `build_engine.trtllm.modelopt_worker` where a test wants both:

    SIMULATION=FILE.npz python -m tests.reference.modelopt_logits FOLDER

All are of the first calibration prompt, computed in float32 with the scales and factors of the
export: `logits` [length, vocabulary], and `in:NAME` and `out:NAME` by a layer's Hugging Face name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from build_engine.trtllm.modelopt_job import LENGTHS_FILE, PROMPTS_FILE
from build_engine.trtllm.modelopt_worker import main


def record(folder: Path) -> None:
    """Do the job in `folder`, then write what its model computes."""
    import torch

    model = main(folder).float()
    found: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(module: Any, given: Any, result: Any) -> None:
            found[f"in:{name}"] = given[0][0].numpy()
            found[f"out:{name}"] = result[0].numpy()

        return hook

    for name, module in model.named_modules():
        if name.endswith("_proj"):
            module.register_forward_hook(keep(name))
    length = int(np.load(folder / LENGTHS_FILE)[0])
    ids = torch.from_numpy(np.load(folder / PROMPTS_FILE)[:length].astype(np.int64))
    with torch.no_grad():
        found["logits"] = model(ids[None]).logits[0].numpy()
    np.savez(os.environ["SIMULATION"], **found)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
