"""What is known of servers that are measured: what they say of themselves, what the user declares,
and the model whose tokenizer is used.

Nothing of it is proven: no digest of weights is to be had over HTTP.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveInt

from build_engine.validation import Frozen, Sha256, Text
from harness.runs.reading import Language
from runtime.endpoint.identity import ServerIdentity, Way


class Served(Frozen):
    """Servers with one model. `folder` is that of its tokenizer, whose digest is `tokenizer`."""

    model: Text
    folder: Path
    tokenizer: Sha256
    vocab_size: PositiveInt
    stop_ids: tuple[int, ...]
    servers: tuple[ServerIdentity, ...] = Field(min_length=1)
    way: Way
    declared: dict[Text, Text] = Field(default_factory=dict)

    @property
    def engine(self) -> str:
        """What computes the answers: as it was declared, else as the servers say."""
        said = dict.fromkeys(server.engine for server in self.servers)
        return self.declared.get("engine") or " and ".join(said)

    @property
    def name(self) -> str:
        """The engine, and where it is."""
        places = [server.place for server in self.servers]
        return f"{self.engine} at {places[0] if len(places) == 1 else f'{len(places)} servers'}"

    @property
    def language(self) -> Language:
        """What ids mean to it. Raises CheckpointError when the tokenizer is missing or broken."""
        return Language.at(self.folder, self.vocab_size, self.stop_ids)

    def is_whole(self) -> bool:
        """Whether the tokenizer still is as it was."""
        from build_engine.checkpoint.tokenizer import Tokenizer
        from build_engine.errors import CheckpointError

        try:
            return Tokenizer.load(self.folder).digest == self.tokenizer
        except CheckpointError:
            return False
