"""Articles in a file of one's own: a line that is no text is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import DatasetError
from harness.dataset.sources.jsonl import samples


def test_a_line_with_half_of_a_surrogate_pair_as_bytes_is_named(tmp_path: Path) -> None:
    sound = b'{"article": "a", "highlights": "b"}\n'
    (tmp_path / "own.jsonl").write_bytes(sound + sound.replace(b'"a"', b'"\xed\xa0\x80"'))
    with pytest.raises(DatasetError) as caught:
        list(samples(tmp_path / "own.jsonl"))
    assert str(caught.value) == "own.jsonl line 2 is not UTF-8 text; fix or remove it."
