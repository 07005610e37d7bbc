"""A checkpoint can be refused by its architecture, before its weights are fetched or read."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.errors import ConfigError
from tests.build_engine.checkpoints import TinyLlama, write_checkpoint
from tests.build_engine.hub_server import Hub, point_at, serve

NAME = "someone/Tiny-1B"
WEIGHTS = "model.safetensors"


class Asked:
    """Refuses everything, and keeps what it was asked about."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []

    def __call__(self, name: str, config: LlamaConfig) -> None:
        self.seen.append((name, config.vocab_size))
        raise ConfigError("it does not fit")


@pytest.mark.parametrize("name", ["newsbrief", "folder"])
def test_what_is_here_can_be_refused(tmp_path: Path, name: str) -> None:
    folder = write_checkpoint(tmp_path / "folder")
    asked = Asked()
    with pytest.raises(ConfigError, match="it does not fit"):
        resolve_checkpoint(name if name == "newsbrief" else str(folder), accept=asked)
    size = 4096 if name == "newsbrief" else TinyLlama().vocab_size
    assert asked.seen == [(name, size)]


def test_the_weights_of_what_is_refused_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, asked = write_checkpoint(tmp_path / "source"), Asked()
    files = {path.name: path.read_bytes() for path in source.iterdir() if path.is_file()}
    hub = Hub(files, hub_id=NAME, kind="model", large_from=20_000)
    with serve(hub) as address:
        point_at(address, tmp_path / "library", monkeypatch)
        with pytest.raises(ConfigError, match="it does not fit"):
            resolve_checkpoint(NAME, accept=asked)
        assert asked.seen == [("Tiny-1B", TinyLlama().vocab_size)]
        assert "config.json" in hub.asked and WEIGHTS not in hub.asked
        assert resolve_checkpoint(NAME).name == "Tiny-1B"
        assert WEIGHTS in hub.asked
