"""What every source checks of a text."""

from __future__ import annotations

import pytest

from build_engine.errors import DatasetError
from harness.dataset.sources.sample import text


def test_a_text_longer_than_any_context_is_refused() -> None:
    assert len(text({"article": "w" * 2**20}, "article", "line 1")) == 2**20
    told = r"line 1: `highlights` has 1,048,577 characters, .*; shorten or remove it\."
    with pytest.raises(DatasetError, match=told):
        text({"highlights": "w" * (2**20 + 1)}, "highlights", "line 1")
