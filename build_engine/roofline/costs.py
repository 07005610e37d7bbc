"""What an engine's steps cost beside arithmetic and traffic: what is measured once on small engines
of a machine, and what follows for any other.

A step is an iteration over the requests that are computed together. Beside its matrix products and
its traffic it has work for each layer (kernels that are started, threads that wait for each other),
for each token in a layer (norms, rotations, activation functions), for each answer that gets a
token (scheduling, the choice among the logits), and for each element of the KV cache that attention
reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.roofline.memory import Elements

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Seconds of one engine's steps beside arithmetic and traffic."""

    iteration_s: float
    prompt_token_s: float
    answer_token_s: float
    cached_token_s: float
    """Of each token of the cache that an iteration reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosts:
    """Seconds that steps cost on a machine, whatever the engine."""

    iteration_s: float
    layer_s: float
    """Of a layer in an iteration."""
    element_s: float
    """Of an element of a token's activations in a layer."""
    answer_s: float
    """Of an answer that gets a token."""
    logit_s: float
    """Of each of its logits."""
    cached_s: float
    """Of an element of the KV cache that is read, beyond its traffic and arithmetic."""

    def of(self, config: LlamaConfig) -> Overhead:
        """What they come to for an engine."""
        token_s = config.num_layers * activation_elements(config) * self.element_s
        return Overhead(
            iteration_s=self.iteration_s + config.num_layers * self.layer_s,
            prompt_token_s=token_s,
            answer_token_s=token_s + self.answer_s + config.vocab_size * self.logit_s,
            cached_token_s=Elements.of(config).kv_token * self.cached_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds of a small engine's steps, without what `known` says of arithmetic and traffic:
    decoding one request and `batch` requests, and reading a token of a prompt.
    """

    config: LlamaConfig
    batch: int
    one_s: float
    batch_s: float
    prompt_token_s: float

    @property
    def answer_s(self) -> float:
        """Of each answer that gets a token."""
        return max(0.0, (self.batch_s - self.one_s) / (self.batch - 1))

    @property
    def iteration_s(self) -> float:
        """Of an iteration, however many requests it has."""
        return max(0.0, self.one_s - self.answer_s)


def step_costs(few: StepTimes, many: StepTimes, cached_s: float) -> StepCosts:
    """The costs that explain the steps of two engines, of which `many` has more layers and more
    logits. None is below 0.
    """
    width = activation_elements(few.config)
    element_s = max(0.0, few.prompt_token_s) / (few.config.num_layers * width)
    answers = [
        max(0.0, each.answer_s - each.config.num_layers * width * element_s) for each in (few, many)
    ]
    logits = many.config.vocab_size - few.config.vocab_size
    layers = many.config.num_layers - few.config.num_layers
    logit_s = max(0.0, answers[1] - answers[0]) / logits
    layer_s = max(0.0, many.iteration_s - few.iteration_s) / layers
    return StepCosts(
        iteration_s=max(0.0, few.iteration_s - few.config.num_layers * layer_s),
        layer_s=layer_s,
        element_s=element_s,
        answer_s=max(0.0, answers[0] - few.config.vocab_size * logit_s),
        logit_s=logit_s,
        cached_s=max(0.0, cached_s),
    )


def activation_elements(config: LlamaConfig) -> int:
    """Of a token in a layer: residual and norm, and both halves of the MLP."""
    return 2 * config.hidden_size + 2 * config.intermediate_size
