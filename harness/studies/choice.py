"""What a sweep is asked for: recipes and limits of engines, and what is measured of each.

The fields of a choice are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from build_engine.backend import backend
from build_engine.checkpoint.resolve import BUNDLED as BUNDLED_MODEL
from build_engine.errors import ConfigError, RecipeRefused, UsageError
from build_engine.paths import user_path
from build_engine.recipe import KV_PRECISIONS, load_recipe, recipe_names
from build_engine.target import load_target
from build_engine.validation import one_of, shortened
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.rules.rounds import DEFAULT
from harness.rules.scenario import Scenario
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice

if TYPE_CHECKING:
    from build_engine.recipe import Recipe

ALL = "all"
_MOST_ENGINES = 1000
_CACHE_SAMPLES = 512  # as other recipes of GPUs are calibrated
_MOST_DIGITS = 9  # of a size
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class WantedEngine:
    """An engine of a sweep, and what the sweep calls it; `recipe` is the name of its recipe."""

    label: str
    choice: EngineChoice
    recipe: str

    @property
    def emulated(self) -> bool:
        """Whether it has an accuracy and no speed."""
        return self.choice.emulate


@dataclass(frozen=True, slots=True)
class _Limits:
    """One combination of what a sweep varies beside recipes; None leaves it as it is."""

    kv_cache: str | None
    batch_size: int | None
    num_tokens: int | None
    profile: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepChoice:
    """A sweep, as a user names it. Several values are given with commas between them."""

    model: str
    """A checkpoint: a Hugging Face folder, a hub id (org/name), or `newsbrief`."""
    recipes: str = ALL
    """Recipes with commas between them, or `all` that the target executes."""
    target: str = "cpu"
    """What the engines are for; see `enginebench targets`."""
    scenarios: str = Scenario.OFFLINE.value
    """Offline, Server, Interactive, SingleStream, with commas between them."""
    repeats: int = 1
    """Times that everything is measured, all engines in turn."""
    emulate: str | None = None
    """GPU targets whose recipes are scored on this CPU as well: their accuracy, never a speed."""
    kv_caches: str | None = None
    """Precisions of the KV cache to try, such as `bf16,int8`; the recipe's own when left out."""
    max_batch_sizes: str | None = None
    """Numbers of requests in flight to try, such as `8,64`."""
    max_num_tokens: str | None = None
    """Numbers of tokens of one iteration to try, such as `1024,2048`."""
    profiles: str | None = None
    """What GPU engines are tuned for: `throughput`, `latency`, or both."""
    calibration: str | None = None
    """Articles for recipes that are calibrated, as for `enginebench build`."""
    workload: str = BUNDLED
    """A workload by its name, or a .yaml file."""
    dataset: str | None = None
    """As for `enginebench run`."""
    count: int | None = None
    """Short trials over the first COUNT samples, without a minimum duration."""
    qps: float | None = None
    """Queries a second for Server and Interactive, the same for all engines: half of what the first
    one answers in Offline, when left out.
    """
    duration_s: float | None = None
    """Minimum seconds of a performance test, instead of the workload's."""
    set: tuple[str, ...] = ()
    """Change a field of every recipe or of the workload, as for `enginebench run`."""
    round: str = DEFAULT
    """The MLPerf round whose LoadGen and seeds the runs must have."""

    @property
    def model_place(self) -> str:
        """The model as no other one is called: a folder by its whole path."""
        folder = user_path(self.model)
        is_folder = self.model != BUNDLED_MODEL and folder.is_dir()
        return str(folder.resolve()) if is_folder else self.model

    @property
    def asked_scenarios(self) -> tuple[Scenario, ...]:
        """In the order in which they are measured: Offline before those whose rate it gives. Raises
        UnknownName.
        """
        names = _items(self.scenarios, "--scenarios")
        found = [one_of("scenario", name, tuple(Scenario)) for name in names]
        return tuple(sorted(_once(found), key=lambda scenario: scenario is not Scenario.OFFLINE))

    @property
    def wanted_engines(self) -> tuple[WantedEngine, ...]:
        """The engines, those of the target first. Raises UsageErrors: RecipeRefused for a recipe
        that is named and that none of the targets executes.
        """
        found, refused = self._sorted_out()
        have = {wanted.recipe for wanted in found}
        for recipe in self._recipes.values():
            if self.recipes != ALL and recipe.name not in have:
                told = (reason for each, reason in refused.items() if each.recipe == recipe.name)
                raise RecipeRefused(" ".join(_once([*told])))
        if not found:
            raise RecipeRefused(f"Target `{self.target}` executes none of the recipes.")
        return found

    @property
    def left_out(self) -> tuple[str, ...]:
        """Why there are not more engines: recipes that are measured, with limits that they cannot
        have.
        """
        found, refused = self._sorted_out()
        have = {(wanted.recipe, wanted.choice.target) for wanted in found}
        return tuple(
            f"{wanted.label} is left out: {reason}"
            for wanted, reason in refused.items()
            if (wanted.recipe, wanted.choice.target) in have
        )

    def _sorted_out(self) -> tuple[tuple[WantedEngine, ...], dict[WantedEngine, str]]:
        """The engines that can be, each once, and why others cannot."""
        found: dict[EngineChoice, WantedEngine] = {}
        refused: dict[WantedEngine, str] = {}
        for wanted in self._thinkable:
            reason = _refusal(wanted.choice)
            if reason is None:
                found.setdefault(wanted.choice, wanted)
            else:
                refused[wanted] = reason
        return tuple(found.values()), refused

    def run_choice(self, scenario: Scenario, mode: str, qps: float | None) -> RunChoice:
        """What is asked of each engine in a scenario."""
        return RunChoice(
            scenario=scenario,
            workload=self.workload,
            dataset=self.dataset,
            mode=mode,
            count=self.count,
            qps=qps if scenario.has_rate else None,
            duration_s=self.duration_s if mode != "accuracy" else None,
            round=self.round,
        )

    @property
    def _recipes(self) -> dict[str, Recipe]:
        """By the words that the user has for them. Raises UsageError for two of one name."""
        if self.recipes == ALL:
            return {name: load_recipe(name) for name in recipe_names()}
        found = {word: load_recipe(word) for word in _items(self.recipes, "--recipes")}
        words: dict[str, str] = {}
        for word, recipe in found.items():
            other = words.setdefault(recipe.name, word)
            if other != word:
                raise UsageError(
                    f"{other} and {word} are both recipes of the name `{recipe.name}`; give one of "
                    "them another `name`."
                )
        return found

    @property
    def _thinkable(self) -> Iterator[WantedEngine]:
        """Each recipe with each of the limits, on each of the targets, whether it can be or not."""
        yield from self._of(self.target, emulate=False)
        for name in _items(self.emulate, "--emulate"):
            yield from self._of(name, emulate=True)

    def _of(self, target: str, *, emulate: bool) -> Iterator[WantedEngine]:
        known = load_target(target)
        if emulate and backend(known.backend).emulated_by is None:
            raise UsageError(f"Target `{target}` is executed as it is; leave it out of --emulate.")
        for (word, recipe), limits in itertools.product(self._recipes.items(), self._limits):
            other = limits.kv_cache is not None and limits.kv_cache != recipe.kv_cache
            changed = [f"recipe.kv_cache={limits.kv_cache}"] if other else []
            choice = EngineChoice(
                model=self.model,
                recipe=word,
                target=target,
                calibration=self.calibration,
                max_batch_size=limits.batch_size,
                max_num_tokens=limits.num_tokens,
                profile=limits.profile,
                emulate=emulate,
                set=(*self.set, *changed),
            )
            if limits.kv_cache == "int8":
                choice = _with_cache_scales(choice)
            label = self._label(recipe.name, choice, limits.kv_cache if other else None)
            yield WantedEngine(label, choice, recipe.name)

    @property
    def _limits(self) -> list[_Limits]:
        """All combinations. Raises UsageErrors, also for more than anybody waits for."""
        caches = _or_as_it_is(_precisions(self.kv_caches))
        batches = _or_as_it_is(_numbers(self.max_batch_sizes, "--max-batch-sizes"))
        tokens = _or_as_it_is(_numbers(self.max_num_tokens, "--max-num-tokens"))
        profiles = _or_as_it_is(_items(self.profiles, "--profiles"))
        counts = (len(caches), len(batches), len(tokens), len(profiles), len(self._recipes))
        if (num := math.prod(counts)) > _MOST_ENGINES:
            raise UsageError(
                f"These options make {num:,} engines of one target; give fewer values, for "
                f"{_MOST_ENGINES:,} or fewer."
            )
        return [_Limits(*values) for values in itertools.product(caches, batches, tokens, profiles)]

    def _label(self, recipe: str, choice: EngineChoice, kv_cache: str | None) -> str:
        """The recipe, with what tells it from the sweep's other engines."""
        told = {
            "kv": kv_cache,
            "batch": choice.max_batch_size if _several(self.max_batch_sizes) else None,
            "tokens": choice.max_num_tokens if _several(self.max_num_tokens) else None,
            "for": choice.profile if _several(self.profiles) else None,
        }
        words = [f"{name}={value}" for name, value in told.items() if value is not None]
        where = [f"emulated {choice.target}"] if choice.emulate else []
        return " ".join([recipe, *words, *where])


def _with_cache_scales(choice: EngineChoice) -> EngineChoice:
    """The same, calibrated where its INT8 KV cache is refused for want of that alone."""
    calibrated = replace(choice, set=(*choice.set, f"recipe.calibration_samples={_CACHE_SAMPLES}"))
    needed = _refusal(choice) is not None and _refusal(calibrated) is None
    return calibrated if needed else choice


def _refusal(choice: EngineChoice) -> str | None:
    """Why the target does not execute this recipe with these settings; None where it does. Raises
    UnknownName and ConfigError.
    """
    try:
        choice.check()
    except RecipeRefused as refused:
        return str(refused)
    return None


def _items(text: str | None, option: str) -> list[str]:
    if text is None:
        return []
    found = [item.strip() for item in text.split(",")]
    if not all(found):
        raise UsageError(
            f"{option} is `{shortened(text)}`; give names with one comma between them."
        )
    return list(_once(found))


def _numbers(text: str | None, option: str) -> list[int]:
    items = _items(text, option)
    for item in items:
        if not (item.isdecimal() and len(item) <= _MOST_DIGITS and int(item) > 0):
            raise ConfigError(
                f"{option} has `{shortened(item)}`; give whole numbers above 0, of "
                f"{_MOST_DIGITS} digits at most, with commas between them."
            )
    return [int(item) for item in items]


def _precisions(text: str | None) -> list[str]:
    return [
        one_of("precision of a KV cache", item, KV_PRECISIONS)
        for item in _items(text, "--kv-caches")
    ]


def _or_as_it_is(values: Sequence[_Value]) -> list[_Value | None]:
    return [*values] or [None]


def _several(text: str | None) -> bool:
    return text is not None and "," in text


def _once(values: list[_Value]) -> tuple[_Value, ...]:
    return tuple(dict.fromkeys(values))
