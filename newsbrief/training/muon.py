"""The Muon optimiser in single precision.

Momentum whose update is replaced by the nearest orthogonal matrix (Jordan et al., 2024). PyTorch
ships one, but it works in bfloat16, which is emulated and slow on CPUs without bfloat16 units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration
NUM_ITERATIONS = 5


def orthogonalised(stack: Tensor) -> Tensor:
    """Pushes the singular values of each matrix of [n, rows, columns] towards 1."""
    a, b, c = COEFFICIENTS
    is_tall = stack.shape[1] > stack.shape[2]
    x = stack.mT if is_tall else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(NUM_ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """For 2-D weights of hidden layers; those of one shape are updated together."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def step(self, closure: None = None) -> None:
        """One update; `closure` is not supported."""
        with torch.no_grad():
            for group in self.param_groups:
                by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
                for weight in group["params"]:
                    by_shape[tuple(weight.shape)].append(weight)
                for weights in by_shape.values():
                    self._update(weights, group)

    def _update(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        rows, columns = weights[0].shape
        momenta = [self._momentum(weight, group["momentum"]) for weight in weights]
        scale = max(1.0, rows / columns) ** 0.5
        for weight, direction in zip(weights, orthogonalised(torch.stack(momenta)), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(direction, alpha=-group["lr"] * scale)

    def share_memory(self) -> None:
        """Moves the momentum into memory that forked processes share."""
        for group in self.param_groups:
            for weight in group["params"]:
                buffer = self.state[weight].setdefault("buffer", torch.zeros_like(weight))
                buffer.share_memory_()

    def _momentum(self, weight: Tensor, momentum: float) -> Tensor:
        """Nesterov momentum of the gradient."""
        assert weight.grad is not None
        state = self.state[weight]
        if "buffer" not in state:
            state["buffer"] = torch.zeros_like(weight)
        state["buffer"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(state["buffer"], momentum)
