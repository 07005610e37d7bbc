"""The engine store: an engine is built once, published whole, and found in milliseconds.

`folders.py` says how that holds, whatever happens at once and whoever is killed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from build_engine.errors import CheckpointError
from build_engine.progress import BuildProgress
from build_engine.store.engine import Engine, open_engine
from build_engine.store.folders import KeyedFolders, Kind
from build_engine.store.making import made
from build_engine.store.manifest import MANIFEST_NAME, write_manifest
from build_engine.store.resolve import resolve
from build_engine.store.spec import BuildFacts, EngineSpec

Builder: TypeAlias = Callable[[EngineSpec, Path, BuildProgress], BuildFacts]
Trial: TypeAlias = Callable[[Engine], None]

ENGINES = Kind(
    noun="engine",
    making="building",
    made="built",
    again="build one with: enginebench build --model newsbrief --target cpu --recipe int8_wo",
    depth=3,
    manifest=MANIFEST_NAME,
    load=Engine.load,
    open=open_engine,
)


class EngineStore(KeyedFolders[Engine]):
    """The engines below `<root>/engines`, in `<model>/<target>/<recipe>-<key12>`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "engines", ENGINES)

    def find(self, spec: EngineSpec) -> Engine | None:
        """The stored engine of this content, or None for none that is whole.

        The engine may lie under another model name: the same checkpoint under two names is one
        engine.
        """
        key = spec.key
        return self.find_key(key, spec.folder_of(key))

    def get_or_build(
        self,
        spec: EngineSpec,
        builder: Builder,
        progress: BuildProgress,
        trial: Trial | None = None,
    ) -> Engine:
        """The stored engine, built by `builder(spec, folder, progress)` when there is none, and
        then tried by `trial` before it is kept; raises as `get_or_make`.
        """
        key = spec.key

        def build(folder: Path) -> None:
            self._build(spec, key, folder, builder, progress)
            if trial is not None:
                progress.phase("trial")
                trial(Engine.load(folder))

        return self.get_or_make(key, spec.folder_of(key), build, progress)

    def resolve(self, text: str) -> Engine:
        """The engine of a folder, of the first digits of a key, or of `model/target/recipe`.

        Raises UnknownName, or EngineError when the store is empty, several engines fit, or the
        folder is no engine.
        """
        return resolve([self], text)[1]

    def _build(
        self, spec: EngineSpec, key: str, folder: Path, builder: Builder, progress: BuildProgress
    ) -> None:
        facts, files, record = made(lambda timer: builder(spec, folder, timer), folder, progress)
        manifest = spec.manifest(facts, files, record)
        if manifest.key != key:
            raise CheckpointError(
                f"Checkpoint `{spec.checkpoint.folder}` changed while the engine was being"
                " built; build it again."
            )
        write_manifest(folder, manifest)
