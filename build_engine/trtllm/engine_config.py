"""TensorRT-LLM's `config.json` beside an engine: what it was really built for.

The builder changes sizes and flags by itself, so that what was asked for is no source. After a
build it is held against that; an executor takes its sizes from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveInt

from build_engine.errors import EnginebenchError
from build_engine.fields import flat
from build_engine.files import read_json
from build_engine.validation import Invalid, validated

CONFIG_FILE = "config.json"


class _Part(BaseModel):
    """A part of a file of the library, which has more keys than we rely on; they are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Plugins(_Part):
    """`plugin_config`."""

    use_paged_context_fmha: bool


class BuildSizes(_Part):
    """`build_config`."""

    max_batch_size: PositiveInt
    max_input_len: PositiveInt
    max_seq_len: PositiveInt
    max_num_tokens: PositiveInt
    plugin_config: Plugins


class Network(_Part):
    """`pretrained_config`."""

    vocab_size: PositiveInt


class EngineConfig(_Part):
    """The whole file. `version` is that of the library that built the engine."""

    version: str
    pretrained_config: Network
    build_config: BuildSizes

    @property
    def values(self) -> dict[str, Any]:
        """Every value by its dotted field, those that have no name here included."""
        return dict(flat(self.model_dump(mode="json")))


def read_engine_config(folder: Path, fault: type[EnginebenchError], remedy: str) -> EngineConfig:
    """Of the engine in `folder`. Raises `fault` with `remedy` for one that is missing or broken."""
    path = folder / CONFIG_FILE
    try:
        return validated(EngineConfig, read_json(path, fault, remedy))
    except FileNotFoundError:
        raise fault(f"{path} is missing; {remedy}.") from None
    except Invalid as error:
        raise fault(f"{path}: {error} Otherwise {remedy}.") from None
