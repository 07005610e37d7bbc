"""From names to things: the checkpoint, target, recipe, limits and calibration set that a command
line asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint import Checkpoint
    from build_engine.engine import Engine, EngineLimits, EngineSpec
    from build_engine.recipe import Recipe
    from harness.progress import Progress

# of a prompt that calibration looks at: TensorRT-LLM's and ModelOpt's default
_CALIBRATION_TOKENS = 512
_ANSWER_TOKENS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineChoice:
    """An engine as a user names it. None leaves a size to its default."""

    model: str
    target: str
    recipe: str
    calibration: str | None = None
    max_batch_size: int | None = None
    max_input_len: int | None = None
    overrides: tuple[str, ...] = ()
    """`a.b=c` settings of the recipe."""

    def spec(self) -> EngineSpec:
        """What would be built. Raises UsageErrors that say what is wrong with the choice."""
        from build_engine.build import make_spec
        from build_engine.checkpoint import resolve_checkpoint
        from build_engine.config import apply_overrides
        from build_engine.recipe import load_recipe, require
        from build_engine.target import load_target

        target = load_target(self.target)
        recipe = apply_overrides(load_recipe(self.recipe), self.overrides)
        require(recipe, target)  # before the checkpoint is read, which may take minutes
        checkpoint = resolve_checkpoint(self.model)
        calibration = self._calibration(checkpoint, recipe)
        return make_spec(checkpoint, target, recipe, self._limits(checkpoint), calibration)

    def build(self, progress: Progress) -> Engine:
        """The engine, from the store or built now."""
        return build_spec(self.spec(), progress)

    def _limits(self, checkpoint: Checkpoint) -> EngineLimits:
        from dataclasses import replace

        from build_engine.build import default_limits

        limits = default_limits(checkpoint.config)
        if self.max_input_len is not None:
            length = self.max_input_len
            limits = replace(limits, max_input_len=length, max_seq_len=length + _ANSWER_TOKENS)
        if self.max_batch_size is not None:
            limits = replace(limits, max_batch_size=self.max_batch_size)
        return limits

    def _calibration(self, checkpoint: Checkpoint, recipe: Recipe) -> CalibrationSet | None:
        """The recipe's calibration prompts: from the file that was named, else invented news."""
        if not recipe.is_calibrated:
            return None
        import newsbrief
        from build_engine.calibration import calibration_set
        from harness.dataset import Source
        from harness.tokenizer import Tokenizer

        count = recipe.calibration_samples
        if self.calibration is None:
            name = "newsbrief"
            articles = [a.article for a in newsbrief.articles("calibration", count)]
        else:
            source = Source.find(self.calibration)
            name = source.name
            articles = [sample.article for sample in source.samples(count)]
        texts = [newsbrief.PROMPT_TEMPLATE.replace("{article}", article) for article in articles]
        prompts = Tokenizer.load(checkpoint.folder).encode_batch(texts)
        return calibration_set(name, [ids[:_CALIBRATION_TOKENS] for ids in prompts])


def require_backend(spec: EngineSpec) -> None:
    """Raise MissingLibrary or EnvironmentFault when what builds for the spec's target is not
    here.
    """
    _ = spec.backend


def build_spec(spec: EngineSpec, progress: Progress) -> Engine:
    """The engine of `spec`, from the store or built now."""
    from build_engine.build import build
    from build_engine.store import EngineStore, default_root

    progress.phase(f"Engine {spec.checkpoint.name}, {spec.recipe.name} for {spec.target.name}")
    return build(spec, EngineStore(default_root()), _Steps(progress))


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
