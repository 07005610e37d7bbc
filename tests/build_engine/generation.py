"""Running graphs and engine folders, for tests that compare logits and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}


def generate(
    folder: Path,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    stop_id: int | None = None,
    properties: dict[str, str] | None = None,
) -> list[list[int]]:
    """One answer per prompt, all in flight together; without `stop_id` each has full length."""
    import openvino as ov
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.max_num_batched_tokens = 2048
    scheduler.num_kv_blocks = 2 + sum(len(p) + max_new_tokens + 32 for p in prompts) // 32
    scheduler.enable_prefix_caching = False
    pipeline = genai.ContinuousBatchingPipeline(
        str(folder), scheduler, "CPU", dict(properties or F32)
    )
    config = genai.GenerationConfig()
    config.max_new_tokens = max_new_tokens
    config.do_sample = False
    config.apply_chat_template = False
    config.ignore_eos = stop_id is None
    config.set_eos_token_id(2 if stop_id is None else stop_id)
    handles: list[Any] = [
        pipeline.add_request(number, ov.Tensor(np.array([prompt], np.int64)), config)
        for number, prompt in enumerate(prompts)
    ]
    while pipeline.has_non_finished_requests():
        pipeline.step()
    return [
        [int(token) for output in handle.read_all() for token in output.generated_ids]
        for handle in handles
    ]


def graph_inputs(ids: NDArray[np.int64], num_past: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs of the stateful graph for `ids` [batch, length] that follow `num_past` positions."""
    batch, length = ids.shape
    positions = np.arange(num_past, num_past + length)
    return {
        "input_ids": ids,
        "attention_mask": np.ones((batch, num_past + length), np.int64),
        "position_ids": np.tile(positions, (batch, 1)),
        "beam_idx": np.arange(batch, dtype=np.int32),
    }


def engine_logits(folder: Path, prompt: Sequence[int]) -> NDArray[np.float32]:
    """float32 logits [length, vocabulary] of one prompt."""
    import openvino as ov

    compiled = ov.Core().compile_model(folder / "openvino_model.xml", "CPU", F32)
    logits: NDArray[np.float32] = compiled(graph_inputs(np.array([prompt])))["logits"][0]
    return logits
