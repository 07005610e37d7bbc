"""Takes the place of the process that runs Model Optimizer: it ends as the environment says."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from build_engine.errors import RunFailed
from build_engine.files import read_json, write_json
from build_engine.trtllm.modelopt_job import (
    JOB_FILE,
    LENGTHS_FILE,
    OUTCOME_FILE,
    PROMPTS_FILE,
    Job,
    Outcome,
    Told,
)
from build_engine.validation import validated

HOW = "STAND_IN_WORKER"


def main(folder: Path) -> None:
    """Check what was asked, tell something, and end."""
    job = validated(Job, read_json(folder / JOB_FILE, RunFailed, "ask again"))
    lengths, ids = np.load(folder / LENGTHS_FILE), np.load(folder / PROMPTS_FILE)
    for told in (Told(phase="calibration"), Told(note=f"{len(lengths)} prompts, {ids.size} ids")):
        sys.stdout.write(json.dumps(told.model_dump()) + "\n")
    sys.stdout.write("a library that prints\n")
    sys.stdout.flush()
    match os.environ[HOW]:
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "well":
            outcome = Outcome(
                device="CPU", peak_host_bytes=1, peak_gpu_bytes=0, algorithm=str(job.seed)
            )
            write_json(folder / OUTCOME_FILE, outcome.model_dump())
        case "managed":
            managed = [name for name in os.environ if name.startswith(("SLURM_", "PMIX_", "OMPI_"))]
            outcome = Outcome(
                device="CPU",
                peak_host_bytes=1,
                peak_gpu_bytes=0,
                algorithm=" ".join(["without", *managed]),
            )
            write_json(folder / OUTCOME_FILE, outcome.model_dump())
        case "without memory":
            told = Told(fault="NVIDIA A30 has 1.0 GB of memory free.")
            sys.stdout.write(json.dumps(told.model_dump()) + "\n")
            sys.stdout.flush()
            sys.exit(3)
        case words:
            sys.stderr.write(f"Traceback\n{words}\n\n")
            sys.exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
