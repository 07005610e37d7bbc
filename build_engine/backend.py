"""The builders, by name: what each is called, which libraries decide what it builds, and what to
call.

An entry names code by its dotted path and loads it when it is needed, so that looking a backend up
costs nothing. `runtime/backend.py` has the executors, under the same names. Adding an engine is a
folder and an entry on each floor, and a target that names it; an installed package brings its own
builder as an entry point of the group `enginebench.builders`, which names its `Backend`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from build_engine.errors import (
    ConfigError,
    EnvironmentFault,
    MissingLibrary,
    UnknownName,
    UsageError,
)
from build_engine.libraries import installed_version
from build_engine.plugins import brought, brought_names, load_object
from build_engine.sized import USUAL, Sized
from build_engine.validation import shortened

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.planned import PlannedBuild
    from build_engine.progress import BuildProgress
    from build_engine.recipe import Recipe, RecipeRules
    from build_engine.roofline.memory import BuildNeeds
    from build_engine.roofline.storage import Storage
    from build_engine.roofline.work import Lengths
    from build_engine.sized import SizeReasons
    from build_engine.store.limits import EngineLimits
    from build_engine.store.spec import BuildFacts, EngineSpec
    from build_engine.target import Detected, Target

    Builder: TypeAlias = Callable[[EngineSpec, Path, BuildProgress], BuildFacts]
    Quantiser: TypeAlias = Callable[[EngineSpec, BuildProgress], Path]

ENTRY_POINTS = "enginebench.builders"

_OPENVINO_PROPERTIES = {
    "INFERENCE_PRECISION_HINT": "bf16|f32",
    "KV_CACHE_PRECISION": "u8|bf16|f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0|[1-9][0-9]{0,5}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A library that compiles and executes engines.

    Code is given as `module:function`.
    """

    name: str
    framework: str
    """What people call it; MLPerf's system description names it so."""
    framework_library: str
    """The distribution whose version goes with that name."""
    builder: int
    """Of our own code: raised whenever that builds something else."""
    build_libraries: tuple[str, ...]
    """Distributions of which a version can change what is built."""
    load_libraries: tuple[str, ...]
    """Distributions of which a version can change how it is executed."""
    extra: str | None
    """The extra of this package that installs them; None where they come otherwise."""
    absent: str
    """How they come where there is no extra: the end of a sentence, with the remedy."""
    compile: str | None
    """`(spec, folder, progress) -> BuildFacts`; None while engines are described, not built."""
    compute: str
    """`(target) -> Detected[str]`: the arithmetic of that target here."""
    refusal: str
    """`(recipe, target) -> str | None`: why it cannot honestly execute a recipe."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """The properties that it writes into an engine's manifest, each with the pattern of its values:
    what an engine is loaded with is nothing else.
    """
    profiles: tuple[str, ...] = ()
    """What its engines can be tuned for, the usual one first; none where there is no choice."""
    fit: str | None = None
    """`(limits, config, recipe, target, profile, batch_given, lengths) -> Sized`: what the user
    left open, chosen for the target; None where the defaults do.
    """
    sizes: str | None = None
    """`(config, recipe, limits, target) -> None`: raises ConfigError for sizes that no device of
    the target has room for, with what to lower, and RecipeRefused for layers that have no kernels;
    None where nothing is known of that.
    """
    storage: str | None = None
    """`(recipe, config) -> Storage`: how an engine keeps its parts, for plans (`roofline/`); None
    where nothing is known of that.
    """
    needs: str | None = None
    """`(config, recipe, limits) -> BuildNeeds`: what making an engine needs; None where that is
    not estimated.
    """
    plan: str | None = None
    """`(spec, why) -> PlannedBuild`: what a build would do, with the reasons of its sizes; None
    where that is not told.
    """
    quantise: str | None = None
    """`(spec, progress) -> Path`: the quantised checkpoint that an engine is compiled from; None
    where compiling quantises.
    """

    machine: str | None = None
    """`(recipe, target) -> None`: raises EnvironmentFault where this machine cannot build for it,
    as far as that is known without the checkpoint; None where the libraries are enough.
    """
    quantiser: str | None = None
    """The same for quantised checkpoints."""
    emulated_by: str | None = None
    """The backend that carries out its arithmetic on a CPU, for accuracy alone; None where none
    does.
    """
    emulates: bool = False
    """Whether its engines are such: executed on any machine, whatever target they are for."""

    def require_here(self, recipe: Recipe, target: Target) -> None:
        """Raise MissingLibrary or EnvironmentFault unless this machine can build for `target`, as
        far as that is known without the checkpoint.
        """
        if self.compile is None:
            raise self._missing(self.framework_library, target.name)
        self.versions(self.build_libraries, target.name)
        if self.machine is not None:
            load_object(self.machine)(recipe, target)

    def require_quantiser(self, recipe: Recipe, target: Target) -> None:
        """The same for quantised checkpoints. Raises EnvironmentFault."""
        if self.quantiser is not None:
            load_object(self.quantiser)(recipe, target)

    def builder_of(self, target: str) -> Builder:
        """What builds engines. Raises EnvironmentFault where this version builds none."""
        if self.compile is None:
            raise self._missing(self.framework_library, target)
        found: Builder = load_object(self.compile)
        return found

    def quantiser_of(self, target: str) -> Quantiser:
        """What makes quantised checkpoints. Raises UsageError where compiling quantises."""
        if self.quantise is None:
            raise UsageError(
                f"{self.framework} engines (target `{target}`) are quantised while they are "
                "compiled; leave out `--stage quantise`."
            )
        found: Quantiser = load_object(self.quantise)
        return found

    def compute_of(self, target: Target) -> Detected[str]:
        """The arithmetic of engines for `target`, and how that is known."""
        found: Detected[str] = load_object(self.compute)(target)
        return found

    def refusal_of(self, recipe: Recipe, target: Target) -> str | None:
        """Why engines for `target` cannot honestly execute `recipe`; None if they can."""
        found: str | None = load_object(self.refusal)(recipe, target)
        return found

    def profile(self, name: str | None) -> str | None:
        """The profile of this name, or the usual one. Raises UnknownName, and ConfigError for a
        backend that has none.
        """
        if name is None:
            return self.profiles[0] if self.profiles else None
        if not self.profiles:
            raise ConfigError(
                f"{self.framework} engines have no profiles; leave `{shortened(name)}` out."
            )
        if name not in self.profiles:
            raise UnknownName("profile", name, self.profiles)
        return name

    def fitted(
        self,
        limits: EngineLimits,
        config: LlamaConfig,
        recipe: Recipe,
        target: Target,
        profile: str | None,
        *,
        batch_given: bool,
        lengths: Lengths | None,
    ) -> Sized:
        """`limits` with what the user left open chosen for the target and the profile, and why; the
        number of requests is the user's where `batch_given`, else what fits of requests of these
        `lengths`, where they are known.
        """
        if self.fit is None:
            return Sized(limits, USUAL)
        fit = load_object(self.fit)
        found: Sized = fit(limits, config, recipe, target, profile, batch_given, lengths)
        return found

    def require_sizes(
        self, config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits, target: Target
    ) -> None:
        """Return where an engine of these sizes has room on the target, or where nothing is known
        of that. Raises ConfigError, with what to lower and by how much, and RecipeRefused for
        layers of the checkpoint that have no kernels.
        """
        self.require_parts(limits, target)
        if self.sizes is not None:
            load_object(self.sizes)(config, recipe, limits, target)

    def require_parts(self, limits: EngineLimits, target: Target) -> None:
        """Raise ConfigError for an engine in several parts where it has one."""
        if (target.kind == "cpu" or self.emulates) and limits.tensor_parallel != 1:
            raise ConfigError(
                f"limits.tensor_parallel is {limits.tensor_parallel}, and the CPU engine has one"
                " part; leave it at 1."
            )

    def storage_of(self, recipe: RecipeRules, config: LlamaConfig) -> Storage:
        """How an engine keeps its parts. Raises ConfigError where that is not known."""
        if self.storage is None:
            raise ConfigError(
                f"Nothing is known of the memory that {self.framework} engines take; plan for a "
                "target of another backend."
            )
        found: Storage = load_object(self.storage)(recipe, config)
        return found

    def needs_of(
        self, config: LlamaConfig, recipe: Recipe, limits: EngineLimits
    ) -> BuildNeeds | None:
        """What making an engine needs; None where that is not estimated."""
        if self.needs is None:
            return None
        found: BuildNeeds = load_object(self.needs)(config, recipe, limits)
        return found

    def plan_of(self, spec: EngineSpec, why: SizeReasons) -> PlannedBuild:
        """What building `spec` would do, with the reasons of its sizes. Raises ConfigError where
        that is not told, or it cannot be built.
        """
        if self.plan is None:
            raise ConfigError(
                f"{self.framework} engines (target `{spec.target.name}`) are built without a "
                "command that could be shown; leave --dry-run out."
            )
        found: PlannedBuild = load_object(self.plan)(spec, why)
        return found

    def versions(self, libraries: tuple[str, ...], target: str) -> dict[str, str]:
        """Installed version of each. Raises MissingLibrary or EnvironmentFault for the first that
        is not installed.
        """
        found = {}
        for library in libraries:
            version = installed_version(library)
            if version is None:
                raise self._missing(library, target)
            found[library] = version
        return found

    def _missing(self, library: str, target: str) -> EnvironmentFault:
        if self.extra is not None:
            return MissingLibrary(library, self.extra)
        return EnvironmentFault(f"{self.framework} engines (target `{target}`) {self.absent}")


BACKENDS = {
    backend.name: backend
    for backend in (
        Backend(
            name="openvino",
            framework="OpenVINO GenAI",
            framework_library="openvino-genai",
            builder=4,
            build_libraries=("openvino", "openvino-genai", "nncf"),
            load_libraries=("openvino", "openvino-genai"),
            extra="cpu",
            absent="",
            compile="build_engine.openvino.compile:compile_engine",
            properties=_OPENVINO_PROPERTIES,
            machine="build_engine.openvino.activations:require_here",
            compute="build_engine.openvino.support:compute",
            refusal="build_engine.openvino.support:refusal",
            sizes="build_engine.openvino.sizes:require_sizes",
            storage="build_engine.openvino.sizes:storage",
            needs="build_engine.openvino.sizes:build_needs",
            plan="build_engine.openvino.plan:planned",
        ),
        Backend(
            name="tensorrt-llm",
            framework="TensorRT-LLM",
            framework_library="tensorrt-llm",
            builder=3,
            build_libraries=("tensorrt-llm", "tensorrt", "nvidia-modelopt"),
            load_libraries=("tensorrt-llm", "tensorrt"),
            extra=None,
            absent="are built in its container on a machine with that GPU; here, "
            "`enginebench build --stage quantise` makes the checkpoint, `enginebench build "
            "--dry-run` shows the plan, and `--target cpu` builds an engine.",
            compile="build_engine.trtllm.compile:compile_engine",
            properties={
                "chunked_context": "on|off",
                "kv_cache_fraction": r"0\.[0-9]{2}",
                "opt_num_tokens": "[0-9]{1,9}",
            },
            compute="build_engine.trtllm.support:compute",
            refusal="build_engine.trtllm.support:refusal",
            emulated_by="emulated",
            profiles=("throughput", "latency"),
            fit="build_engine.trtllm.fit:fitted",
            sizes="build_engine.trtllm.sizes:require_sizes",
            storage="build_engine.trtllm.sizes:storage",
            needs="build_engine.trtllm.sizes:build_needs",
            plan="build_engine.trtllm.plan:planned",
            quantise="build_engine.trtllm.artefact:quantised_checkpoint",
            machine="build_engine.trtllm.machine:require_compiler",
            quantiser="build_engine.trtllm.machine:require_quantiser",
        ),
        Backend(
            name="emulated",
            framework="Emulated TensorRT-LLM",
            framework_library="openvino-genai",
            builder=2,
            build_libraries=("openvino", "openvino-genai"),
            load_libraries=("openvino", "openvino-genai"),
            extra="cpu",
            absent="",
            compile="build_engine.trtllm.emulated_engine:compile_engine",
            machine="build_engine.trtllm.machine:require_quantiser",
            properties={**_OPENVINO_PROPERTIES, "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"},
            compute="build_engine.trtllm.emulated_engine:compute",
            refusal="build_engine.trtllm.support:refusal",
            emulates=True,
        ),
    )
}


def backends() -> dict[str, Backend]:
    """Our own by name, and those of installed packages."""
    others = brought_names(ENTRY_POINTS) - BACKENDS.keys()
    return {**{name: brought(ENTRY_POINTS, name) for name in sorted(others)}, **BACKENDS}


def backend(name: str) -> Backend:
    """The backend of this name: our own, or that of an installed package. Raises UnknownName."""
    if name in BACKENDS:
        return BACKENDS[name]
    others = brought_names(ENTRY_POINTS)
    if name not in others:
        raise UnknownName("backend", name, {*BACKENDS, *others})
    found: Backend = brought(ENTRY_POINTS, name)
    return found
