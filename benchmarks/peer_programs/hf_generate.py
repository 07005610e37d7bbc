"""Hugging Face `generate`: static batches of `concurrency`, padded on the left."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.peer_programs.job import Measured, PeerJob, serve


def measure(job: PeerJob) -> list[Measured]:
    """Load the checkpoint once and measure every concurrency."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(job.threads)
    dtype = getattr(torch, job.weights)
    model: Any = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype).eval()
    model.generation_config.eos_token_id = None  # every answer has its full length
    found = []
    for concurrency in job.concurrencies:
        prompts = job.prompts[: job.requests(concurrency)]
        _wave(model, prompts[:concurrency], job.warmup_tokens)
        started_s = time.perf_counter()
        answers: list[list[int]] = []
        for start in range(0, len(prompts), concurrency):
            answers += _wave(model, prompts[start : start + concurrency], job.new_tokens)
        duration_s = time.perf_counter() - started_s
        found.append(Measured(concurrency, duration_s, sum(map(len, prompts)), answers))
    return found


def _wave(model: Any, prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
    """One batch; its new tokens."""
    import torch

    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=new_tokens,
            do_sample=False,
            pad_token_id=0,
        )
    answers: list[list[int]] = out[:, width:].tolist()
    return answers


if __name__ == "__main__":
    serve(measure)
