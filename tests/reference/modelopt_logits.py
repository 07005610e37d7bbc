"""Model Optimizer's own simulation of a job: its logits, beside the export that the job asks for.

Takes the place of `build_engine.trtllm.modelopt_worker` where a test wants both:

    LOGITS_TO=FILE.npy python -m tests.reference.modelopt_logits FOLDER

The logits are those of the first calibration prompt, float32 [length, vocabulary], computed in
float32 with the scales and factors of the export.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from build_engine.trtllm.modelopt_job import LENGTHS_FILE, PROMPTS_FILE
from build_engine.trtllm.modelopt_worker import main


def record(folder: Path) -> None:
    """Do the job in `folder`, then write the logits."""
    import torch

    model = main(folder).float()
    length = int(np.load(folder / LENGTHS_FILE)[0])
    ids = torch.from_numpy(np.load(folder / PROMPTS_FILE)[:length].astype(np.int64))
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    np.save(os.environ["LOGITS_TO"], logits.float().numpy())


if __name__ == "__main__":
    record(Path(sys.argv[1]))
