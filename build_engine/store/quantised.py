"""Quantised checkpoints in the store: made once, published whole, found by their content.

`<root>/quantised/<model>/<recipe>-<key12>` holds TensorRT-LLM's `config.json`, its weights in
`rank{N}.safetensors`, and our `checkpoint.json`, which is written last. Every compilation with the
same recipe, prompts and number of GPUs uses the same one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import ClassVar

from pydantic import NonNegativeInt, PositiveInt

from build_engine.errors import EngineError
from build_engine.recipe import RecipeRules
from build_engine.store.contents import FileEntry
from build_engine.store.folders import KeyedFolders, Kind
from build_engine.store.manifest import CalibrationIdentity, CalibrationRecord, Precision
from build_engine.store.sealed import Identity, Manifest, read_sealed, require_sound
from build_engine.store.spec import SHORT_KEY_LEN, folder_name
from build_engine.validation import Sha256, Text

MANIFEST_NAME = "checkpoint.json"
_REMEDY = "delete that folder and quantise again"


class CheckpointIdentity(Identity):
    """The content of the key: equal identities are one checkpoint. `libraries` holds the version of
    Model Optimizer, and `seed` is that of the calibration: {} and None for what is not calibrated.
    """

    quantiser: int
    checkpoint: Sha256
    recipe: RecipeRules
    calibration: CalibrationIdentity | None
    tensor_parallel: PositiveInt
    libraries: dict[str, str]
    seed: int | None


class CheckpointManifest(Manifest):
    """The content of `checkpoint.json`. `algorithm` is what Model Optimizer was given, as JSON; ""
    where it was not needed. `libraries` are the versions of all that took part in the calibration.
    Memory is the largest of the process that quantised, in bytes.
    """

    SCHEMA: ClassVar[int] = 2

    identity: CheckpointIdentity
    model: Text
    calibration: CalibrationRecord | None
    precision: Precision
    algorithm: str
    libraries: dict[str, str]
    device: Text
    peak_host_bytes: NonNegativeInt
    peak_gpu_bytes: NonNegativeInt


@dataclass(frozen=True, slots=True)
class QuantisedCheckpoint:
    """A quantised checkpoint on disk and its manifest."""

    folder: Path
    manifest: CheckpointManifest

    @classmethod
    def load(cls, folder: Path) -> QuantisedCheckpoint:
        """Read `checkpoint.json` of `folder`; the other files are not looked at.

        Raises EngineError when it is missing, broken, altered, or of another schema.
        """
        try:
            return cls(folder, read_sealed(folder / MANIFEST_NAME, CheckpointManifest, _REMEDY))
        except FileNotFoundError:
            raise EngineError(
                f"`{folder}` is not a quantised checkpoint: it has no {MANIFEST_NAME}; make one "
                "with `enginebench build --stage quantise`."
            ) from None

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def identity(self) -> CheckpointIdentity:
        return self.manifest.identity

    @property
    def recipe(self) -> str:
        return self.identity.recipe.name

    @property
    def model(self) -> str:
        return self.manifest.model

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """What the manifest vouches for."""
        return self.manifest.files

    @property
    def names(self) -> tuple[str, str]:
        """`model/recipe` as it is shown, and as folder names."""
        return f"{self.model}/{self.recipe}", f"{folder_name(self.model)}/{self.recipe}"


def open_quantised(folder: Path) -> QuantisedCheckpoint:
    """The quantised checkpoint in `folder`. Raises EngineError unless each file is there as it was
    written.
    """
    found = QuantisedCheckpoint.load(folder)
    require_sound(folder, found.files, "Quantise again.")
    return found


CHECKPOINTS = Kind(
    noun="quantised checkpoint",
    making="quantising",
    made="quantised",
    again="make one with: enginebench build --model newsbrief --target a30 --recipe int8_wo --stage"
    " quantise",
    depth=2,
    manifest=MANIFEST_NAME,
    load=QuantisedCheckpoint.load,
    open=open_quantised,
)


class CheckpointStore(KeyedFolders[QuantisedCheckpoint]):
    """The quantised checkpoints below `<root>/quantised`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "quantised", CHECKPOINTS)


def place(model: str, recipe: str, key: str) -> PurePath:
    """Where the checkpoint of a key lies in its store."""
    return PurePath(folder_name(model), f"{folder_name(recipe)}-{key[:SHORT_KEY_LEN]}")
