"""Models whose dimensions are known without a download (`configs/models`), and the architecture
that a name stands for: no weights are needed for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from build_engine.checkpoint.architecture import ARCHITECTURE, LlamaConfig, parse_config
from build_engine.checkpoint.files import CONFIG_FILE, read_object
from build_engine.checkpoint.resolve import BUNDLED
from build_engine.config import Frozen, Name, Text, config_names, load_config
from build_engine.errors import CheckpointError, UnknownName
from build_engine.paths import user_path


class Dimensions(Frozen):
    """What decides sizes, by the names of `config.json`."""

    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    rope_theta: PositiveFloat
    tie_word_embeddings: bool


class KnownModel(Frozen):
    """A model by its name, and the ids under which the Hugging Face hub has it."""

    name: Name
    title: Text
    hub: tuple[Text, ...]
    dimensions: Dimensions
    sources: Annotated[list[Text], Field(min_length=1)]

    @property
    def architecture(self) -> LlamaConfig:
        """As its `config.json` would say it, but for how its positions are scaled."""
        said = {"architectures": [ARCHITECTURE], "model_type": "llama"}
        return parse_config({**said, **self.dimensions.model_dump()}, {}, Path(self.name))


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture, and what it is called."""

    name: str
    config: LlamaConfig


def known_model_names() -> list[str]:
    """Names of the models whose dimensions are shipped."""
    return config_names("models")


def load_known_model(name: str) -> KnownModel:
    """A known model by name, or one from a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("models", name, KnownModel)


def hub_id(name: str) -> str:
    """Under which the hub has a known model, or the name of any other as it is."""
    known = (load_known_model(each) for each in known_model_names())
    return next((model.hub[0] for model in known if model.name == name), name)


def resolve_architecture(path_or_name: str) -> Architecture:
    """The architecture of a known model (by its name or hub id), of the bundled one, or of a folder
    with a `config.json`; nothing is downloaded, and no weights are needed.

    Raises UnknownName, and CheckpointError for a `config.json` that cannot be built.
    """
    if path_or_name == BUNDLED:
        from newsbrief import CHECKPOINT

        return Architecture(BUNDLED, _read(CHECKPOINT))
    for name in known_model_names():
        model = load_known_model(name)
        if path_or_name == name or path_or_name in model.hub:
            return Architecture(name, model.architecture)
    folder = user_path(path_or_name)
    if folder.is_dir():
        return Architecture(folder.resolve().name, _read(folder))
    raise UnknownName(
        "model",
        path_or_name,
        [BUNDLED, *known_model_names()],
        others=[f"a folder with a {CONFIG_FILE}"],
    )


def _read(folder: Path) -> LlamaConfig:
    if not (folder / CONFIG_FILE).is_file():
        raise CheckpointError(
            f"{folder} has no {CONFIG_FILE}, which says what a model needs; give a folder with one."
        )
    return parse_config(read_object(folder / CONFIG_FILE), {}, folder)
