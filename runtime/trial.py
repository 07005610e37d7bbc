"""The trial of an engine that was just built: it is loaded once and answers one short prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.errors import BuildFailed, EngineDied
from runtime.awake import AwakeClock
from runtime.backend import engine_spec, load
from runtime.executor import Request

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from runtime.executor import Chunk, Executor

_PROMPT_IDS = (1, 2, 3, 4)  # any will do: it is whether an answer comes that counts
_NEW_TOKENS = 2
_LIMIT_S = 300.0


def answer_one(engine: Engine) -> None:
    """Return when the engine has answered. Raises BuildFailed where it does not, and what loading
    it raises. One that is spread over GPUs is not tried: no executor of ours loads it.
    """
    if engine.limits.tensor_parallel > 1:
        return
    try:
        executor = load(engine_spec(engine))
        try:
            chunks = _answer(executor, engine)
        finally:
            executor.close()
    except EngineDied as error:
        raise _failed(engine, str(error)) from None
    error_text = next((chunk.error for chunk in chunks if chunk.error is not None), None)
    if error_text is not None:
        raise _failed(engine, error_text)
    ids = [number for chunk in chunks for number in chunk.token_ids.tolist()]
    if not ids or not all(0 <= number < engine.vocab_size for number in ids):
        raise _failed(engine, f"it answered with the ids {ids}")


def _answer(executor: Executor, engine: Engine) -> list[Chunk]:
    import numpy as np

    length = min(len(_PROMPT_IDS), engine.limits.max_input_len)
    prompt = np.array(_PROMPT_IDS[:length], np.int32) % engine.vocab_size
    new_tokens = min(_NEW_TOKENS, engine.limits.max_seq_len - length)
    executor.submit([Request(0, prompt, new_tokens, stop_ids=engine.stop_ids)])
    chunks: list[Chunk] = []
    clock = AwakeClock()
    while not (chunks and chunks[-1].finished):
        if clock() > _LIMIT_S:
            raise _failed(engine, f"it gave no answer within {_LIMIT_S:.0f} s")
        chunks += executor.poll(1.0)
    return chunks


def _failed(engine: Engine, cause: str) -> BuildFailed:
    return BuildFailed(
        f"The engine of `{engine.model}` with `{engine.recipe}` was built and answers no prompt: "
        f"{cause}; it was not kept. Take another recipe, or report this with the checkpoint's name."
    )
