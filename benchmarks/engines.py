"""What is measured: CPU engines from the store, and prompts for them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import newsbrief
from harness.rules.workload import load_workload
from harness.runs.engine_choice import EngineChoice

if TYPE_CHECKING:
    from pathlib import Path

    from build_engine.store.engine import Engine
    from harness.progress import Progress
    from runtime.executor import TokenIds


def cpu_engine(model: str, recipe: str, progress: Progress) -> Engine:
    """The engine of a checkpoint for this CPU, from the store or built now."""
    choice = EngineChoice(model=model, target="cpu", recipe=recipe)
    return choice.build(load_workload("newsbrief"), progress)


def prompts(folder: Path, count: int, min_tokens: int) -> list[TokenIds]:
    """`count` prompts of the newsbrief workload, int32[tokens], by the tokenizer in `folder`.

    Articles are joined until a prompt has `min_tokens`; with 0 each prompt has one article.
    """
    from build_engine.checkpoint.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(folder)
    articles = iter(newsbrief.articles("validation", count * (1 + min_tokens // 60)))
    made: list[TokenIds] = []
    while len(made) < count:
        text, ids = "", None
        while ids is None or len(ids) < min_tokens:
            text += "".join(f"{item.article}\n\n" for item in islice(articles, 1))
            prompt = newsbrief.PROMPT_TEMPLATE.replace("{article}", text.strip())
            (ids,) = tokenizer.encode_batch([prompt])
        made.append(ids)
    return made
