"""What an engine is: the content that makes its key, and the folder that holds it.

Equal content gives an equal key, whatever the scenario, the number of GPUs and the place of the
checkpoint. A folder is an engine only if it has an `engine.json` whose key belongs to its identity;
it is loaded only where the libraries and the arithmetic are those it was built for.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import metadata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from build_engine.errors import ConfigError, EngineError, EnvironmentFault, MissingLibrary
from build_engine.store.manifest import SCHEMA_VERSION, broken_manifest, content_key, read_manifest

if TYPE_CHECKING:
    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.recipe import Recipe
    from build_engine.target import Target

SHORT_KEY_LEN = 12  # hex digits of the key in folder names: 48 bits


@dataclass(frozen=True, slots=True)
class _Backend:
    """A library that compiles and executes engines, as the distributions that carry it."""

    name: str
    builder: int  # of our own code: raised whenever that builds something else
    to_build: tuple[str, ...]  # a version of these can change what is built
    to_load: tuple[str, ...]  # a version of these can change how it is executed


_BACKENDS = {
    "cpu": _Backend(
        "openvino", 1, ("openvino", "openvino-genai", "nncf"), ("openvino", "openvino-genai")
    ),
    "gpu": _Backend(
        "tensorrt-llm",
        1,
        ("tensorrt-llm", "tensorrt", "nvidia-modelopt"),
        ("tensorrt-llm", "tensorrt"),
    ),
}


# MLPerf Inference, Llama-3.1-8B: prompts of at most 2540 tokens, answers of at most 128.
MAX_INPUT_LEN = 2540
MAX_NEW_TOKENS = 128

# more tokens or requests than any engine has; beyond int32 the backends overflow
_MAX_LIMIT = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """The sizes that an engine is compiled for: requests, and tokens per request or per iteration.

    `max_seq_len` counts the prompt and the answer, `max_num_tokens` the tokens of one iteration
    over the whole batch. Raises ConfigError for a size below 1 and for prompts that leave no room
    for an answer.
    """

    max_batch_size: int = 64
    max_input_len: int
    max_seq_len: int
    max_num_tokens: int = 2048
    tensor_parallel: int = 1

    @classmethod
    def of_model(cls, max_position_embeddings: int) -> EngineLimits:
        """For the MLPerf workload, or as much of it as the model's positions allow (answers at most
        half).
        """
        max_seq_len = min(max_position_embeddings, MAX_INPUT_LEN + MAX_NEW_TOKENS)
        max_new_tokens = min(MAX_NEW_TOKENS, max_seq_len // 2)
        return cls(max_input_len=max_seq_len - max_new_tokens, max_seq_len=max_seq_len)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value < 1:
                raise ConfigError(f"limits.{item.name} is {value}; give 1 or more.")
            if value > _MAX_LIMIT:
                raise ConfigError(f"limits.{item.name} is {value}; give {_MAX_LIMIT} or less.")
        if self.max_input_len >= self.max_seq_len:
            raise ConfigError(
                f"limits.max_input_len {self.max_input_len} leaves no room for an answer within"
                " limits.max_seq_len"
                f" {self.max_seq_len}; lower the first or raise the second."
            )


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What only the builder knows of the engine that it wrote.

    `runtime` holds the properties to pass at load; `precision` says what weights, activations and
    KV cache really are, with a note where that is not what the recipe's name suggests.
    `weight_types` are those of all stored weight matrices, `group_size` the weights that share a
    scale (None: one scale a channel, or none), `num_prompts` the calibration prompts looked at.
    """

    runtime: Mapping[str, str]
    precision: Mapping[str, str]
    weight_types: tuple[str, ...]
    group_size: int | None = None
    num_prompts: int = 0


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything that decides what an engine contains. `compute` is the arithmetic: bf16, f32,
    sm_80.
    """

    checkpoint: Checkpoint
    target: Target
    recipe: Recipe
    limits: EngineLimits
    calibration: CalibrationSet | None
    compute: str

    @property
    def backend(self) -> dict[str, Any]:
        """The backend's name and the version of all that can change the engine: of our own builder
        and of each installed library.

        Raises MissingLibrary or EnvironmentFault when the target's backend is not installed.
        """
        backend = _BACKENDS[self.target.kind]
        libraries = _installed(self.target.kind, backend.to_build)
        return {"name": backend.name, "builder": backend.builder} | libraries

    @property
    def identity(self) -> dict[str, Any]:
        """The content of the key: nested, plain JSON values. Not in it: scenario, GPU count, where
        files lie.
        """
        looked_at = self.calibration
        return {
            "schema": SCHEMA_VERSION,
            "checkpoint": self.checkpoint.digest,
            "recipe": self.recipe.model_dump(mode="json", exclude={"title", "sources"}),
            "calibration": looked_at
            and {"digest": looked_at.digest, "official": looked_at.official},
            "limits": asdict(self.limits),
            "backend": self.backend,
            "target": {
                "name": self.target.name,
                "kind": self.target.kind,
                "sm": self.target.sm,
                "compute": self.compute,
            },
        }

    @property
    def key(self) -> str:
        """sha256 of the identity, 64 hex digits."""
        return content_key(self.identity)

    @property
    def model_source(self) -> str:
        """What `enginebench build --model` takes for this checkpoint: the bundled name, else its
        folder.
        """
        from newsbrief import CHECKPOINT

        checkpoint = self.checkpoint
        return checkpoint.name if checkpoint.folder == CHECKPOINT else str(checkpoint.folder)

    @property
    def folder(self) -> PurePath:
        """`<model>/<target>/<recipe>-<first 12 digits of the key>`, relative to the engines of a
        store.
        """
        return self.folder_of(self.key)

    def folder_of(self, key: str) -> PurePath:
        """`folder` for who has the key at hand: a key takes milliseconds."""
        leaf = f"{folder_name(self.recipe.name)}-{key[:SHORT_KEY_LEN]}"
        return PurePath(folder_name(self.checkpoint.name), folder_name(self.target.name), leaf)

    def manifest(
        self, facts: BuildFacts, files: Mapping[str, Any], build: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The content of `engine.json` for this spec, once built: plain JSON values."""
        identity = self.identity
        checkpoint = {
            "name": self.checkpoint.name,
            "source": self.model_source,
            "weights": self.checkpoint.weights,
        }
        looked_at = self.calibration
        return {
            "schema_version": SCHEMA_VERSION,
            "key": content_key(identity),
            "identity": identity,
            "model": checkpoint | asdict(self.checkpoint.config),
            "calibration": looked_at
            and {
                "name": looked_at.name,
                "options": list(looked_at.options),
                "num_prompts": facts.num_prompts,
            },
            "runtime": dict(facts.runtime),
            "precision": dict(facts.precision),
            "weights": {"types": list(facts.weight_types), "group_size": facts.group_size},
            "files": dict(files),
            "build": dict(build),
        }


@dataclass(frozen=True, slots=True)
class Engine:
    """A compiled engine on disk and its manifest. `Engine.load` checks a manifest; the constructor
    trusts it.
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Engine:
        """Read `engine.json` of `folder`; the other files are not looked at.

        Raises EngineError when it is missing, broken, altered, or of another schema.
        """
        manifest = read_manifest(folder)
        if manifest["identity"]["target"]["kind"] not in _BACKENDS:
            raise broken_manifest(folder, "has no usable `identity.target.kind`")
        try:
            EngineLimits(**manifest["identity"]["limits"])
        except (TypeError, ConfigError):
            raise broken_manifest(folder, "has no usable `identity.limits`") from None
        return cls(folder, manifest)

    @property
    def key(self) -> str:
        return str(self.manifest["key"])

    @property
    def identity(self) -> dict[str, Any]:
        return dict(self.manifest["identity"])

    @property
    def recipe(self) -> str:
        return str(self.identity["recipe"]["name"])

    @property
    def target(self) -> str:
        return str(self.identity["target"]["name"])

    @property
    def compute(self) -> str:
        return str(self.identity["target"]["compute"])

    @property
    def model(self) -> str:
        return str(self.manifest["model"]["name"])

    @property
    def limits(self) -> EngineLimits:
        return EngineLimits(**self.identity["limits"])

    @property
    def size_bytes(self) -> int:
        """Bytes of the engine's files, without the manifest."""
        return sum(entry["bytes"] for entry in self.manifest["files"].values())

    @property
    def stop_ids(self) -> tuple[int, ...]:
        return tuple(self.manifest["model"]["eos_token_ids"])

    @property
    def vocab_size(self) -> int:
        return int(self.manifest["model"]["vocab_size"])

    def rebuild_command(self, target: str | None = None) -> str:
        """The command that builds this engine anew, for `target` instead of its own when given.

        A recipe that is not shipped is taken to lie in a file of its name.
        """
        model, limits = self.manifest["model"], self.limits
        usual = EngineLimits.of_model(model["max_position_embeddings"])
        words = ["enginebench", "build", "--model", model["source"]]
        words += ["--target", target or self.target, *_recipe_options(self.identity["recipe"])]
        words += (self.manifest["calibration"] or {"options": []})["options"]
        if limits.max_batch_size != usual.max_batch_size:
            words += ["--max-batch-size", str(limits.max_batch_size)]
        if limits.max_input_len != usual.max_input_len:
            words += ["--max-input-len", str(limits.max_input_len)]
        return shlex.join(words)


def folder_name(name: str) -> str:
    """`name` as one path component, never empty, hidden or `..`: `o/M 8B` becomes `o--M-8B`."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("/", "--")).strip(".-")
    return plain or "unnamed"


def _recipe_options(recipe: Mapping[str, Any]) -> list[str]:
    """The options that name a recipe, and each field in which it differs from the shipped one."""
    from build_engine.recipe import changes, recipe_names

    name = recipe["name"]
    words = ["--recipe", name if name in recipe_names() else f"{name}.yaml"]
    for field, value in changes(recipe).items():
        text = value if isinstance(value, str) else json.dumps(value)
        words += ["--set", f"{field}={text}"]
    return words


def gpu_compute(target: Target) -> str:
    """The arithmetic of a GPU target: `sm_80` for an A30."""
    return f"sm_{target.sm}"


def trtllm_absent(target: str) -> EnvironmentFault:
    """The error for a GPU target where TensorRT-LLM is not."""
    return EnvironmentFault(
        f"TensorRT-LLM engines (target `{target}`) are built in its container, which is not"
        " available in this installation; build for `--target cpu` here."
    )


def check_loadable(engine: Engine) -> None:
    """Return when this machine executes the engine as it was built.

    Raises EngineError that names each differing field, both values and the rebuild command;
    MissingLibrary or EnvironmentFault when the backend is not installed.
    """
    kind = engine.identity["target"]["kind"]
    built_with = engine.identity["backend"]
    here_with = _installed(kind, _BACKENDS[kind].to_load)
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
    from build_engine.target import detect_cpu_compute, detect_target, load_target

    if engine.identity["target"]["kind"] == "cpu":
        compute = detect_cpu_compute()
        return engine.target, compute.value, compute.reason
    found = detect_target()
    if found.value is None or found.value == "cpu":
        raise EnvironmentFault(f"A GPU engine needs a GPU that this project knows: {found.reason}.")
    return found.value, gpu_compute(load_target(found.value)), found.reason


def _installed(kind: str, libraries: tuple[str, ...]) -> dict[str, str]:
    """Installed version of each library."""
    versions = {}
    for library in libraries:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            raise (
                trtllm_absent("gpu") if kind == "gpu" else MissingLibrary(library, kind)
            ) from None
    return versions
