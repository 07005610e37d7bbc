"""From the words of a command line to what is planned for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from build_engine.backend import backend
from build_engine.checkpoint.known import hub_id, resolve_architecture
from build_engine.checkpoint.resolve import BUNDLED
from build_engine.config import apply_overrides
from build_engine.errors import ConfigError, EnginebenchError
from build_engine.recipe import load_recipe, recipe_names
from build_engine.target import load_target, target_names
from harness.plan.asked import Asked
from harness.rules.workload import load_workload, workload_names
from harness.runs.engine_choice import EngineChoice
from harness.runs.sizes import SizesGiven

if TYPE_CHECKING:
    from collections.abc import Callable

    from build_engine.recipe import Recipe
    from build_engine.target import Target
    from harness.rules.rounds import Round
    from harness.rules.workload import Workload

ALL = "all"
_USUAL = "llama3.1-8b"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanChoice:
    """What a user asks a plan for. `recipe` and `target` are names with commas between them, or
    `all`, and `max_batch_size` and `max_num_tokens` are numbers with commas between them; None
    leaves a size to `build`, and `workload` None is that of the model's name, or the usual one.
    """

    model: str
    recipe: str
    target: str
    workload: str | None
    settings: tuple[str, ...] = ()
    max_batch_size: str | None = None
    max_num_tokens: str | None = None
    max_input_len: int | None = None
    max_new_tokens: int | None = None
    profile: str | None = None
    tensor_parallel: int | None = None

    def asked(self, chosen: Round) -> list[Asked]:
        """Every engine that is asked for, target by target. Raises UnknownName, ConfigError and
        CheckpointError.
        """
        engine = EngineChoice(model=self.model, recipe=self.recipe, set=self.settings)
        model, workload = resolve_architecture(self.model), self._workload(engine, chosen)
        recipes = [load_recipe(name) for name in _names(self.recipe, recipe_names())]
        targets = [load_target(name) for name in _names(self.target, target_names())]
        return [
            Asked(
                model=model,
                target=target,
                recipe=apply_overrides(recipe, engine.recipe_settings),
                workload=workload,
                sizes=SizesGiven(
                    max_batch_size=batch,
                    max_num_tokens=tokens,
                    max_input_len=self.max_input_len,
                    max_new_tokens=self.max_new_tokens,
                    profile=self.profile if len(targets) == 1 else _fitting(self.profile, target),
                    tensor_parallel=self.tensor_parallel,
                ),
            )
            for target in targets
            for recipe in recipes
            for batch in _sizes(self.max_batch_size, "--max-batch-size")
            for tokens in _sizes(self.max_num_tokens, "--max-num-tokens")
        ]

    def others(self, chosen: Round, target: str) -> list[Asked]:
        """Every recipe as it is shipped, for the target of this name, in the sizes that `build`
        takes.
        """
        of_workload = tuple(each for each in self.settings if not each.startswith("recipe."))
        every = PlanChoice(
            model=self.model,
            recipe=ALL,
            target=_word(self.target, target_names(), target, load_target),
            workload=self.workload,
            settings=of_workload,
        )
        return every.asked(chosen)

    def engine(self, planned: Asked) -> EngineChoice:
        """The engine of a plan, as `build` is asked for it."""
        return EngineChoice(
            model=hub_id(self.model),
            recipe=_word(self.recipe, recipe_names(), planned.recipe.name, load_recipe),
            target=_word(self.target, target_names(), planned.target.name, load_target),
            **asdict(planned.sizes),
            set=tuple(each for each in self.settings if each.startswith("recipe.")),
        )

    def _workload(self, engine: EngineChoice, chosen: Round) -> Workload:
        named = self.model if self.model in (BUNDLED, *workload_names()) else _USUAL
        workload = load_workload(self.workload or named, chosen)
        return workload.with_settings(engine.workload_settings)


def _fitting(profile: str | None, target: Target) -> str | None:
    """A profile that is asked for among several targets, of those whose engines have any."""
    return profile if backend(target.backend).profiles else None


def as_built(engine: EngineChoice, workload: Workload) -> Asked:
    """What a plan is asked for an engine as `build` is asked for it. Raises UnknownName,
    ConfigError, CheckpointError, and RecipeRefused.
    """
    target, recipe = engine.named()
    return Asked(
        model=resolve_architecture(engine.model),
        target=target,
        recipe=recipe,
        workload=workload,
        sizes=engine.sizes,
    )


def asked_as_built(engine: EngineChoice, workload: str, chosen: Round) -> Asked | None:
    """The same; None where too little is known of it, or it does not fit, which would be told where
    somebody asks for a plan.
    """
    try:
        changed = load_workload(workload, chosen).with_settings(engine.workload_settings)
        asked = as_built(engine, changed)
        return None if asked.too_large else asked
    except EnginebenchError:
        return None


def _names(text: str, every: list[str]) -> list[str]:
    """The names in a list with commas. Raises ConfigError for one without any."""
    if text == ALL and every:
        return every
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise ConfigError(f"`{text}` names nothing; give names with commas between them.")
    return names


def _word(text: str, every: list[str], name: str, load: Callable[[str], Recipe | Target]) -> str:
    """How the user called what has this name: by the name, or by a file."""
    return next((word for word in _names(text, every) if load(word).name == name), name)


def _sizes(text: str | None, option: str) -> list[int | None]:
    """The numbers in a list with commas; None alone where there is no list. Raises ConfigError."""
    if text is None:
        return [None]
    found: list[int | None] = []
    for word in _names(text, []):
        if not word.isdecimal() or int(word) < 1:
            raise ConfigError(
                f"{option} has `{word}`; give whole numbers with commas between them."
            )
        found.append(int(word))
    return found
