"""What a plan is for: a model's architecture on a target, by a recipe, for a workload."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from build_engine.backend import backend
from build_engine.errors import ConfigError, RecipeRefused, UsageError
from build_engine.recipe import changes
from harness.runs.sizes import SizesGiven, shortened

if TYPE_CHECKING:
    from build_engine.backend import Backend
    from build_engine.checkpoint.known import Architecture
    from build_engine.recipe import Recipe
    from build_engine.roofline.storage import Storage
    from build_engine.roofline.work import Lengths
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target
    from harness.rules.workload import Workload

_FULL = ("fp16", "bf16")  # a KV cache that is not quantised, in the types that backends have


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One engine that may be built, and what it would be asked."""

    model: Architecture
    target: Target
    recipe: Recipe
    workload: Workload
    sizes: SizesGiven = field(default_factory=SizesGiven)
    """What `build` would be given of them."""

    @property
    def backend(self) -> Backend:
        """What builds it."""
        return backend(self.target.backend)

    @property
    def storage(self) -> Storage:
        """How it keeps its parts. Raises ConfigError where that is not known."""
        return self.backend.storage_of(self.recipe, self.model.config)

    @property
    def label(self) -> str:
        """The recipe, with what was changed in it, and the sizes that were asked for."""
        told = {**changes(self.recipe.rules)}
        sizes = (("batch", self.sizes.max_batch_size), ("tokens", self.sizes.max_num_tokens))
        for name, size in sizes:
            if size is not None:
                told[name] = size
        return ", ".join((self.recipe.name, *(f"{key}={value}" for key, value in told.items())))

    @property
    def refusal(self) -> str | None:
        """Why the target cannot honestly execute the recipe, or the model's layers have no kernels
        for it; None if it can be built in some sizes.
        """
        refused = self.backend.refusal_of(self.recipe, self.target)
        objection = None if refused else self._objection
        if isinstance(objection, RecipeRefused):
            return str(objection).removesuffix(".")
        return refused

    @property
    def lengths(self) -> Lengths:
        """The lengths of the workload's requests, as far as the engine takes them. Raises
        ConfigError where their mean is not known.
        """
        found = shortened(self.workload, self._greatest)
        if found is None:
            raise ConfigError(
                f"Workload {self.workload.name} does not say how long its prompts are on average; "
                "give it as `--set workload.mean_input_tokens=N`."
            )
        return found

    @property
    def shorter(self) -> str | None:
        """What of the workload is longer than the model's positions hold, and what is planned for
        instead; None where nothing is.
        """
        workload, positions = self.workload, self.model.config.max_position_embeddings
        longest, answer = workload.max_input_tokens, workload.max_new_tokens
        if longest + answer <= positions:
            return None
        limits = self._greatest
        return (
            f"Workload {workload.name} has prompts of up to {longest:,} tokens and answers of "
            f"{answer:,}, and `{self.model.name}` has {positions:,} positions: this is for prompts "
            f"of up to {limits.max_input_len:,} and answers of {limits.max_new_tokens:,}, as "
            "`build` takes them; `run` refuses data with longer ones."
        )

    @property
    def limits(self) -> EngineLimits:
        """The sizes that `build` takes."""
        model = self.model
        sized = self.sizes.fitted(model.name, model.config, self.workload, self.recipe, self.target)
        return sized.limits

    @property
    def too_large(self) -> str | None:
        """Why `build` refuses these sizes, with what to change; None where it does not, whatever
        this machine has free.
        """
        objection = self._objection
        return None if objection is None else str(objection)

    @property
    def with_full_cache(self) -> Asked | None:
        """The same with a KV cache that is not quantised, where that brings chunked context back;
        None where prompts are chunked already, or no such engine can be built.
        """
        if self.storage.chunked:
            return None
        for kind in _FULL:
            other = replace(self, recipe=self.recipe.model_copy(update={"kv_cache": kind}))
            if other.refusal is None and other.storage.chunked:
                return other
        return None

    @property
    def _greatest(self) -> EngineLimits:
        return self.sizes.greatest(self.model.name, self.model.config, self.workload)

    @property
    def _objection(self) -> UsageError | None:
        """What `build` says of the model's layers and the sizes; None where it says nothing."""
        try:
            self.backend.require_sizes(self.model.config, self.recipe, self.limits, self.target)
        except UsageError as objection:
            return objection
        return None
