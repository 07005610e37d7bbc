"""From names to things: the checkpoint, target, recipe, limits and calibration set that a command
line asks for.

The fields of a choice are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError, UsageError
from harness.runs.sizes import SizesGiven

if TYPE_CHECKING:
    from pathlib import Path

    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.planned import PlannedBuild
    from build_engine.recipe import Recipe
    from build_engine.sized import Sized
    from build_engine.store.engine import Engine
    from build_engine.store.spec import EngineSpec
    from build_engine.target import Target
    from harness.dataset.unseen import Evaluated
    from harness.progress import Progress
    from harness.rules.workload import Workload


_OF_WORKLOAD = "workload."
_OF_RECIPE = "recipe."


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """An engine as a user names it. None leaves a size to its default."""

    model: str
    """A checkpoint: a Hugging Face folder, a hub id (org/name), or `newsbrief`."""
    recipe: str
    """How it is quantised; see `enginebench recipes`."""
    target: str = "cpu"
    """What the engine is for; see `enginebench targets`."""
    calibration: str | None = None
    """Articles for recipes that are calibrated: a .jsonl or the official calibration file. When
    left out, a run takes articles of its dataset that it does not evaluate, else invented news.
    """
    max_batch_size: int | None = None
    """Requests in flight at once."""
    max_num_tokens: int | None = None
    """Tokens of one iteration over all requests, instead of what fits the target."""
    max_input_len: int | None = None
    """Tokens of the longest prompt, instead of the workload's."""
    max_new_tokens: int | None = None
    """Tokens of the longest answer, instead of the workload's."""
    profile: str | None = None
    """What it is tuned for, on GPUs: `throughput` (many requests at once, when left out) or
    `latency` (the shortest answer to one).
    """
    tensor_parallel: int | None = None
    """GPUs that share the engine, each with a part of every layer; such an engine is built, and
    executed by other programs only.
    """
    emulate: bool = False
    """Carry out a GPU recipe's arithmetic on this CPU instead: its accuracy, never its speed."""
    set: tuple[str, ...] = ()
    """Change a field of the recipe or, in a run, of the workload: `--set recipe.group_size=64`,
    `--set workload.max_new_tokens=64`.
    """

    @property
    def recipe_settings(self) -> tuple[str, ...]:
        """What `set` changes in the recipe, as `a.b=c`."""
        return tuple(
            setting.removeprefix(_OF_RECIPE)
            for setting in self.set
            if not setting.startswith(_OF_WORKLOAD)
        )

    @property
    def workload_settings(self) -> tuple[str, ...]:
        """What `set` changes in the workload, as `a.b=c`."""
        return tuple(
            setting.removeprefix(_OF_WORKLOAD)
            for setting in self.set
            if setting.startswith(_OF_WORKLOAD)
        )

    def spec(
        self, workload: Workload, progress: Progress, evaluated: Evaluated | None = None
    ) -> EngineSpec:
        """What would be built, calibrated (if at all) on prompts of the workload; `evaluated` is
        what the engine is to be run on. Raises UsageErrors that say what is wrong with the choice.
        """
        from build_engine.build import make_spec
        from build_engine.checkpoint.resolve import resolve_checkpoint

        target, recipe = self.named()  # before the checkpoint is read, which may take minutes

        def sized(name: str, config: LlamaConfig) -> Sized:
            return self.sized(name, config, workload, recipe, target)

        revision = workload.revision_of(self.model)
        checkpoint = resolve_checkpoint(self.model, revision, progress, sized)
        calibration = None
        if recipe.is_calibrated:
            from harness.dataset.calibration import calibration_prompts

            count = recipe.calibration_samples
            calibration = calibration_prompts(
                self.calibration, workload, checkpoint, count, progress, evaluated
            )
        limits = sized(checkpoint.name, checkpoint.config).limits
        return make_spec(checkpoint, target, recipe, limits, calibration, self.profile)

    def require_here(self) -> None:
        """Raise UsageError for names that do not go together, MissingLibrary or EnvironmentFault
        where this machine cannot build the engine: before anything is fetched, read or built.
        """
        from build_engine.backend import backend

        self.check()
        target, recipe = self.named()
        backend(target.backend).require_here(recipe, target)

    def check(self) -> None:
        """Raise UsageError for names that do not go together, wherever the engine is built."""
        from build_engine.backend import backend

        target, _ = self.named()
        backend(target.backend).profile(self.profile)

    @property
    def options(self) -> list[str]:
        """The options of `enginebench run` that name this engine."""
        words = ["--model", self.model, "--target", self.target, "--recipe", self.recipe]
        given = {
            "--calibration": self.calibration,
            "--max-batch-size": self.max_batch_size,
            "--max-num-tokens": self.max_num_tokens,
            "--max-input-len": self.max_input_len,
            "--max-new-tokens": self.max_new_tokens,
            "--profile": self.profile,
            "--tensor-parallel": self.tensor_parallel,
        }
        for option, value in given.items():
            words += [] if value is None else [option, str(value)]
        words += ["--emulate"] if self.emulate else []
        for setting in self.recipe_settings:
            words += ["--set", f"{_OF_RECIPE}{setting}"]
        return words

    @property
    def sizes(self) -> SizesGiven:
        """The sizes that the user gives."""
        return SizesGiven(
            max_batch_size=self.max_batch_size,
            max_num_tokens=self.max_num_tokens,
            max_input_len=self.max_input_len,
            max_new_tokens=self.max_new_tokens,
            profile=self.profile,
            tensor_parallel=self.tensor_parallel,
        )

    def sized(
        self, name: str, config: LlamaConfig, workload: Workload, recipe: Recipe, target: Target
    ) -> Sized:
        """For the workload's lengths, as far as the model's positions allow, and for the target; a
        size that the user gives is taken as it is. Raises ConfigError for sizes that the target has
        no room for.
        """
        from build_engine.backend import backend

        found = self.sizes.fitted(name, config, workload, recipe, target)
        backend(target.backend).require_sizes(config, recipe, found.limits, target)
        return found

    def plan(self, workload: Workload, progress: Progress) -> PlannedBuild:
        """What `build` would do. Raises ConfigError for a backend that does not tell it, and what
        `spec` raises.
        """
        spec = self.spec(workload, progress)
        checkpoint = spec.checkpoint
        sized = self.sized(checkpoint.name, checkpoint.config, workload, spec.recipe, spec.target)
        return spec.backend.plan_of(spec, sized.why)

    def build(self, workload: Workload, progress: Progress) -> Engine:
        """The engine, from the store or built now.

        Raises ConfigError for a setting of the workload, and what `spec` and the build raise.
        """
        self._refuse_workload_settings()
        return self.build_for_runs(workload, progress)

    def build_for_runs(
        self, workload: Workload, progress: Progress, evaluated: Evaluated | None = None
    ) -> Engine:
        """The same where `workload` has been changed by what `set` says of it, for runs that
        evaluate these samples.
        """
        self.require_here()
        return build_spec(self.spec(workload, progress, evaluated), progress)

    def quantise(self, workload: Workload, progress: Progress) -> Path:
        """The quantised checkpoint that the engine would be compiled from, found or made now.

        Raises as `build` does, and UsageError for a target whose engines need none.
        """
        from build_engine.backend import backend
        from build_engine.target import load_target

        self._refuse_workload_settings()
        target, recipe = load_target(self.target), self.named()[1]
        builder = backend(target.backend)  # of the GPU, where its arithmetic is emulated too
        make = builder.quantiser_of(self.target)
        builder.require_quantiser(recipe, target)
        spec = self.spec(workload, progress)
        progress.phase(f"Checkpoint {spec.checkpoint.name}, {spec.recipe.name}")
        return make(spec, _Steps(progress))

    def named(self) -> tuple[Target, Recipe]:
        """What the names stand for. Raises UnknownName, ConfigError and RecipeRefused."""
        from build_engine.config import apply_overrides
        from build_engine.recipe import load_recipe, require
        from build_engine.target import load_target

        target = load_target(self.target)
        recipe = apply_overrides(load_recipe(self.recipe), self.recipe_settings)
        require(recipe, target)
        return (_emulated(target) if self.emulate else target), recipe

    def _refuse_workload_settings(self) -> None:
        for setting in self.workload_settings:
            raise ConfigError(
                f"`--set {_OF_WORKLOAD}{setting}` is for `enginebench run`; an engine does not "
                "depend on it, so leave it out."
            )


def _emulated(target: Target) -> Target:
    """The same target, for engines that a CPU executes in its place."""
    from build_engine.backend import backend

    builder = backend(target.backend)
    if builder.emulated_by is None:
        raise UsageError(
            f"{builder.framework} engines (target `{target.name}`) are executed as they are; leave "
            "out --emulate, or choose a GPU as the target."
        )
    return target.model_copy(update={"backend": builder.emulated_by})


def build_spec(spec: EngineSpec, progress: Progress) -> Engine:
    """The engine of `spec`, from the store or built now; a new one has answered a prompt."""
    from build_engine.build import build
    from build_engine.paths import cache_root
    from build_engine.store.store import EngineStore
    from runtime.trial import answer_one

    progress.phase(f"Engine {spec.checkpoint.name}, {spec.recipe.name} for {spec.target.name}")
    return build(spec, EngineStore(cache_root()), _Steps(progress), answer_one)


class _Steps:
    """A build's phases, as steps below the phase of the command that builds."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def phase(self, name: str) -> None:
        """See `BuildProgress.phase`."""
        self._progress.note(name)

    def note(self, text: str) -> None:
        """See `BuildProgress.note`."""
        self._progress.note(text)
