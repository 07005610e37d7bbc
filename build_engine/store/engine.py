"""A compiled engine on disk, and whether this machine executes it as it was built.

A folder is an engine only if it has an `engine.json` whose key belongs to its identity; it is
loaded only where the libraries and the arithmetic are those it was built for.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from build_engine.backend import backend
from build_engine.errors import EngineError, EnvironmentFault
from build_engine.recipe import RecipeRules, changes, recipe_names, setting_text
from build_engine.store.contents import FileEntry
from build_engine.store.limits import DEFAULT_BATCH_SIZE, DEFAULT_NUM_TOKENS, EngineLimits
from build_engine.store.manifest import EngineIdentity, EngineManifest, read_manifest
from build_engine.store.sealed import require_sound
from build_engine.store.spec import folder_name
from build_engine.target import Target, detect_target, load_target


@dataclass(frozen=True, slots=True)
class Engine:
    """A compiled engine on disk and its manifest. `Engine.load` checks a manifest; the constructor
    trusts it. `built_for` is the target as its file states it, where the engine was built or found
    by that; a manifest has its name.
    """

    folder: Path
    manifest: EngineManifest
    built_for: Target | None = field(default=None, compare=False)

    @classmethod
    def load(cls, folder: Path) -> Engine:
        """Read `engine.json` of `folder`; the other files are not looked at.

        Raises EngineError when it is missing, broken, altered, or of another schema.
        """
        return cls(folder, read_manifest(folder))

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def identity(self) -> EngineIdentity:
        return self.manifest.identity

    @property
    def recipe(self) -> str:
        return self.identity.recipe.name

    @property
    def target(self) -> str:
        return self.identity.target.name

    @property
    def compute(self) -> str:
        return self.identity.target.compute

    @property
    def backend(self) -> str:
        return self.identity.backend.name

    @property
    def model(self) -> str:
        return self.manifest.model.name

    @property
    def limits(self) -> EngineLimits:
        return self.identity.limits

    @property
    def size_bytes(self) -> int:
        """Bytes of the engine's files, without the manifest."""
        return self.manifest.size_bytes

    @property
    def files(self) -> Mapping[str, FileEntry]:
        """What the manifest vouches for."""
        return self.manifest.files

    @property
    def names(self) -> tuple[str, str]:
        """`model/target/recipe` as it is shown, and as folder names."""
        rest = f"{self.target}/{self.recipe}"
        return f"{self.model}/{rest}", f"{folder_name(self.model)}/{rest}"

    @property
    def emulated(self) -> bool:
        """Whether it carries out its target's arithmetic on a CPU: it has an accuracy, no speed."""
        return backend(self.backend).emulates

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return self.manifest.model.config.eos_token_ids

    @property
    def vocab_size(self) -> int:
        return self.manifest.model.config.vocab_size

    def rebuild_command(self, target: str | None = None) -> str:
        """The command that builds this engine anew, for `target` instead of its own when given."""
        return shlex.join(["enginebench", "build", *self.options(target)])

    def options(self, target: str | None = None) -> list[str]:
        """The options that name this engine, or the same one for `target`.

        A recipe that is not shipped is taken to lie in a file of its name.
        """
        model, limits, calibration = self.manifest.model, self.limits, self.manifest.calibration
        words = ["--model", model.source]
        words += ["--target", target or self.target, *_recipe_options(self.identity.recipe)]
        words += ["--emulate"] if self.emulated else []
        words += calibration.options if calibration else ()
        words += self._size_options(target)
        parts = limits.tensor_parallel
        words += ["--tensor-parallel", str(parts)] if parts > 1 else []
        words += ["--max-input-len", str(limits.max_input_len)]
        words += ["--max-new-tokens", str(limits.max_new_tokens)]
        return words

    def _size_options(self, target: str | None) -> list[str]:
        """Profile, batch size and tokens of an iteration, where they are not what the build would
        choose by itself: with profiles it chooses them for each target.
        """
        batch, profile = self.limits.max_batch_size, self.identity.profile
        tokens = self.limits.max_num_tokens
        if profile is None:
            words = ["--max-batch-size", str(batch)] if batch != DEFAULT_BATCH_SIZE else []
            return words + (
                ["--max-num-tokens", str(tokens)] if tokens != DEFAULT_NUM_TOKENS else []
            )
        stated = ["--max-batch-size", str(batch), "--max-num-tokens", str(tokens)]
        if target is None or target == self.target:
            return ["--profile", profile, *stated]
        return ["--profile", profile] if profile in _profiles_for(target) else []


def _profiles_for(target: str) -> tuple[str, ...]:
    return backend(load_target(target).backend).profiles


def _recipe_options(recipe: RecipeRules) -> list[str]:
    """The options that name a recipe, and each field in which it differs from the shipped one."""
    name = recipe.name
    words = ["--recipe", name if name in recipe_names() else f"{name}.yaml"]
    for key, value in changes(recipe).items():
        words += ["--set", f"{key}={setting_text(value)}"]
    return words


def open_engine(folder: Path) -> Engine:
    """The engine in `folder`. Raises EngineError unless each file is there as it was built."""
    engine = Engine.load(folder)
    require_sound(folder, engine.files, f"Build it again: {engine.rebuild_command()}")
    return engine


def check_loadable(engine: Engine) -> None:
    """Return when this machine executes the engine as it was built.

    Raises EngineError that names each differing field, both values and the rebuild command;
    MissingLibrary or EnvironmentFault when the backend is not installed.
    """
    built_with = engine.identity.backend.libraries
    kind = backend(engine.backend)
    here_with = kind.versions(kind.load_libraries, engine.target)
    differing = [
        (f"backend.{library}", built_with.get(library), here)
        for library, here in here_with.items()
        if built_with.get(library) != here
    ]
    name, compute, reason = _machine(engine)
    if engine.target != name:
        differing.append(("target.name", engine.target, f"{name} ({reason})"))
    if engine.compute != compute:
        differing.append(("target.compute", engine.compute, f"{compute} ({reason})"))
    if differing:
        told = "; ".join(
            f"{field} is {built} in the engine and {here} here" for field, built, here in differing
        )
        raise EngineError(
            f"Engine `{engine.folder.name}` cannot be loaded on this machine: {told}; rebuild it"
            f" with: {engine.rebuild_command(name)}"
        )


def _machine(engine: Engine) -> tuple[str, str, str]:
    """Target name and arithmetic that this machine offers the engine, and how that is known.

    A CPU target is whatever CPU is here; a GPU target is one type of GPU.
    """
    if engine.identity.target.kind == "cpu" or engine.emulated:
        compute = backend(engine.backend).compute_of(load_target("cpu"))
        return engine.target, compute.value, compute.reason
    found = detect_target()
    if found.value is None or found.value == "cpu":
        raise EnvironmentFault(f"A GPU engine needs a GPU that this project knows: {found.reason}.")
    here = backend(engine.backend).compute_of(load_target(found.value))
    return found.value, here.value, found.reason
