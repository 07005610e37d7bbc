"""What the process that runs NVIDIA's Model Optimizer is asked, and what it answers.

It is a process of its own so that its memory, on the host and on the GPU, is free when the engine
is compiled, and so that what the library prints stays in a log.
"""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from build_engine.validation import Frozen, Text

SEED = 1234  # of Python, numpy and torch
PROMPTS_FILE = "prompts.npy"
LENGTHS_FILE = "lengths.npy"
JOB_FILE = "job.json"
OUTCOME_FILE = "outcome.json"
LOG_FILE = "modelopt.log"


class Job(Frozen):
    """One quantisation. `checkpoint` is a Hugging Face folder; the other files lie in the folder of
    the job. `quant_algo` None leaves the weights as they are and calibrates the KV cache alone.
    """

    checkpoint: Text
    quant_algo: str | None
    kv_cache: Literal["INT8", "FP8"] | None
    dtype: Literal["bfloat16", "float16"]
    group_size: PositiveInt
    smoothquant_alpha: float | None
    seed: int
    weight_bytes: PositiveInt
    """Of the whole model in `dtype`: what it takes of a GPU at the least."""


class Outcome(Frozen):
    """How it went: the device by name, and the largest memory of the process."""

    device: Text
    peak_host_bytes: NonNegativeInt
    peak_gpu_bytes: NonNegativeInt
    algorithm: Text
    """The calibration algorithm as it was given to the library, as JSON."""


class Told(Frozen):
    """One line of the process's standard output."""

    phase: str = ""
    note: str = ""
    fault: str = ""
    """What this machine lacks: a sentence, after which nothing follows."""
