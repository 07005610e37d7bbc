"""What a user declares of an engine: names that exist, from words and from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import ConfigError, UnknownName, UsageError
from harness.runs.declared import caches_prefixes, declared, missing


def test_words_and_files_are_taken_together(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("engine: vLLM 0.11\nprefix_caching: off\nprecision: fp8\n")
    found = declared([str(file), "precision=int8", "options=--max-num-seqs=512"])
    assert found == {
        "engine": "vLLM 0.11",
        "prefix_caching": "off",
        "precision": "int8",
        "options": "--max-num-seqs=512",
    }
    assert caches_prefixes(found) is False
    assert caches_prefixes({}) is None
    assert caches_prefixes({"prefix_caching": "on"})
    assert missing(found) == ["checkpoint", "transformations", "hardware"]


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        (["engin=x"], UnknownName, "Did you mean `engine`"),
        (["engine="], UsageError, "--declare engine has no value"),
        (["vLLM"], UsageError, "declares nothing"),
        (["prefix_caching=maybe"], UsageError, "give on or off"),
        (["none.yaml"], UsageError, "is not there"),
    ],
)
def test_what_declares_nothing(words: list[str], kind: type[UsageError], told: str) -> None:
    with pytest.raises(kind, match=told):
        declared(words)


def test_a_value_that_is_not_there_declares_nothing(tmp_path: Path) -> None:
    file = tmp_path / "server.yaml"
    file.write_text("engine: vLLM\ncheckpoint:\n")
    with pytest.raises(UsageError, match="--declare checkpoint has no value"):
        declared([str(file)])
    file.write_text("engine: 0.10\n")
    with pytest.raises(ConfigError, match="engine is no text; put its value into quotes"):
        declared([str(file)])


def test_a_file_of_something_else(tmp_path: Path) -> None:
    file = tmp_path / "list.yaml"
    file.write_text("- engine\n")
    with pytest.raises(ConfigError, match="must hold"):
        declared([str(file)])
