"""A small real model and the invented news it summarises.

The articles come from a generator (`article`, `articles`), the model is the Llama checkpoint in
`CHECKPOINT`, trained on the `train` split alone by the scripts in `training/`. Importing this
package needs nothing but the standard library.
"""

from __future__ import annotations

from pathlib import Path

from newsbrief.generator import SPLITS, Article, article, articles

CHECKPOINT = Path(__file__).resolve().parent / "checkpoint"
"""The bundled checkpoint in Hugging Face layout."""

PROMPT_TEMPLATE = "Article:\n{article}\n\nSummary:\n"
"""What the model was trained on: the prompt, then the highlights, then the end-of-text token."""

__all__ = ["CHECKPOINT", "PROMPT_TEMPLATE", "SPLITS", "Article", "article", "articles"]
