"""The sizes of an engine from what a user gives of them: for a build and for its plan the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import Recipe
    from build_engine.roofline.work import Lengths
    from build_engine.sized import Sized, SizeReasons
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target
    from harness.rules.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class SizesGiven:
    """Sizes as a user gives them. None leaves one to the workload, the model and the target."""

    max_batch_size: int | None = None
    max_num_tokens: int | None = None
    max_input_len: int | None = None
    max_new_tokens: int | None = None
    profile: str | None = None
    tensor_parallel: int | None = None

    @classmethod
    def of(cls, limits: EngineLimits) -> SizesGiven:
        """Those of an engine that is there."""
        return cls(
            max_batch_size=limits.max_batch_size,
            max_num_tokens=limits.max_num_tokens,
            max_input_len=limits.max_input_len,
            max_new_tokens=limits.max_new_tokens,
            tensor_parallel=limits.tensor_parallel,
        )

    def fitted(
        self, name: str, config: LlamaConfig, workload: Workload, recipe: Recipe, target: Target
    ) -> Sized:
        """For the workload's lengths, as far as the model's positions allow, and for the target; a
        size that is given is taken as it is. Raises ConfigError for lengths that the positions of
        the model, called `name`, do not hold.
        """
        from build_engine.backend import backend
        from build_engine.sized import Sized

        limits = self.greatest(name, config, workload)
        if self.max_batch_size is not None:
            limits = replace(limits, max_batch_size=self.max_batch_size)
        if self.tensor_parallel is not None:
            limits = replace(limits, tensor_parallel=self.tensor_parallel)
        builder = backend(target.backend)
        found = builder.fitted(
            limits,
            config,
            recipe,
            target,
            builder.profile(self.profile),
            batch_given=self.max_batch_size is not None,
            lengths=None if self._gives_lengths else shortened(workload, limits),
        )
        limits = found.limits
        if self.max_num_tokens is not None:
            limits = replace(limits, max_num_tokens=self.max_num_tokens)
        return Sized(limits, self._why(found.why, workload, config.max_position_embeddings))

    def greatest(self, name: str, config: LlamaConfig, workload: Workload) -> EngineLimits:
        """Sizes with the greatest lengths, and nothing chosen yet. Raises as `fitted` does."""
        from build_engine.store.limits import EngineLimits

        positions = config.max_position_embeddings
        limits = EngineLimits.for_lengths(
            workload.max_input_tokens, workload.max_new_tokens, positions
        )
        if not self._gives_lengths:
            return limits
        prompt = limits.max_input_len if self.max_input_len is None else self.max_input_len
        answer = limits.max_new_tokens if self.max_new_tokens is None else self.max_new_tokens
        self._check_lengths(prompt, answer, name, positions)
        return replace(limits, max_input_len=prompt, max_seq_len=prompt + answer)

    @property
    def _gives_lengths(self) -> bool:
        return self.max_input_len is not None or self.max_new_tokens is not None

    def _why(self, why: SizeReasons, workload: Workload, positions: int) -> SizeReasons:
        """The reasons of all sizes: those of the user's own are the user's."""
        from build_engine.sized import GIVEN

        asks = f"as workload {workload.name} asks"
        if workload.max_input_tokens + workload.max_new_tokens > positions:
            asks += f", as far as the model's {positions} positions allow"
        return replace(
            why,
            max_batch_size=why.max_batch_size if self.max_batch_size is None else GIVEN,
            max_num_tokens=why.max_num_tokens if self.max_num_tokens is None else GIVEN,
            max_input_len=asks if self.max_input_len is None else GIVEN,
            max_seq_len=GIVEN if self._gives_lengths else asks,
        )

    def _check_lengths(self, prompt: int, answer: int, name: str, positions: int) -> None:
        """Raise ConfigError for lengths that the model's positions do not hold, by the options."""
        for option, length in (("--max-input-len", prompt), ("--max-new-tokens", answer)):
            if length < 1:
                raise ConfigError(f"{option} is {length}; give 1 or more.")
        if prompt + answer <= positions:
            return
        remedies = (
            ("--max-input-len", positions - answer, self.max_input_len),
            ("--max-new-tokens", positions - prompt, self.max_new_tokens),
        )
        # what the user said comes first, and nothing that leaves no room
        ways = [
            f"{option} {most} or less"
            for option, most, _ in sorted(remedies, key=lambda remedy: remedy[2] is None)
            if most > 0
        ]
        raise ConfigError(
            f"A prompt of {prompt} tokens (--max-input-len) and an answer of {answer} "
            f"(--max-new-tokens) are {prompt + answer}, and `{name}` has {positions} "
            f"positions; give {', or '.join(ways) or f'{positions} or less for both together'}."
        )


def shortened(workload: Workload, limits: EngineLimits) -> Lengths | None:
    """The lengths of a workload's requests to an engine of these sizes: what is longer is as long
    as it takes. None where their mean is not known.
    """
    asked = workload.lengths
    if asked is None:
        return None
    longest = min(asked.longest_prompt, limits.max_input_len)
    answer = min(asked.answer, limits.max_new_tokens)
    prompt = min(asked.prompt, longest)
    # the mean of prompts that are cut at a length below their mean is that length at most
    spread = asked.spread if prompt < longest else 1.0
    return replace(asked, prompt=prompt, answer=answer, longest_prompt=longest, spread=spread)
