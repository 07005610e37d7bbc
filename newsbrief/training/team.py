"""Processes that share one model in memory and each work on a part of every batch.

On a few shared cores this beats threads inside each matrix product: a process that loses its core
for a moment takes fewer pieces of the batch, and nobody waits for it but at the end of the step.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from newsbrief.training.data import Batch
from newsbrief.training.model import Llama
from newsbrief.training.muon import Muon

MAX_WAIT_S = 600  # a process whose partners are gone for that long ends with an error


def token_losses(model: Llama, batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each prediction and whether it was right, both [n]."""
    logits = model.logits(model(batch.ids, batch.positions))
    losses = functional.cross_entropy(logits, batch.targets, reduction="none")
    return losses, logits.argmax(-1) == batch.targets


class Team:
    """One process per Muon; this process is the first of them and also owns AdamW.

    Each process updates the weights of its own Muon, from the sum of everybody's gradients.
    Start it before any computation with gradients: the processes are forked.
    """

    def __init__(self, model: Llama, muons: Sequence[Muon], adam: torch.optim.Optimizer) -> None:
        self._model, self._muons, self._adam = model, muons, adam
        model.share_memory()
        self._weights = list(model.parameters())
        self._gradients = [
            [torch.zeros_like(weight).share_memory_() for weight in self._weights] for _ in muons
        ]
        for muon in muons:
            muon.share_memory()
        context = multiprocessing.get_context("fork")
        self._pieces = context.SimpleQueue()
        self._barrier = context.Barrier(len(muons))
        self._num_left = context.Value("i", 0)
        self._order = torch.zeros(2).share_memory_()  # learning-rate factor, total weight
        self._sums = torch.zeros(len(muons), 2).share_memory_()  # loss of highlights, their number
        for rank in range(1, len(muons)):
            context.Process(target=self._serve, args=(rank,), daemon=True).start()

    def step(self, pieces: Sequence[Batch], rate_factor: float) -> float:
        """One update from all pieces of a batch; returns the mean loss of the highlights."""
        total = sum(piece.weights.sum().item() for piece in pieces)
        self._order.copy_(torch.tensor([rate_factor, total]))
        self._num_left.value = len(pieces)
        self._barrier.wait(MAX_WAIT_S)
        for piece in pieces:
            fields = (piece.ids, piece.positions, piece.targets, piece.weights)
            self._pieces.put([field.numpy() for field in fields])
        self._work(0)
        loss, number = self._sums.sum(0).tolist()
        return float(loss / number)

    def _serve(self, rank: int) -> None:
        torch.set_num_threads(1)
        while True:
            self._barrier.wait(MAX_WAIT_S)
            self._work(rank)

    def _work(self, rank: int) -> None:
        mine = self._gradients[rank]
        for weight, gradient in zip(self._weights, mine, strict=True):
            weight.grad = gradient.zero_()
        self._sums[rank] = 0.0
        while self._take():
            self._learn(rank, *(torch.from_numpy(array) for array in self._pieces.get()))
        self._barrier.wait(MAX_WAIT_S)
        optimizers: list[torch.optim.Optimizer] = [self._muons[rank]]
        if rank == 0:
            optimizers.append(self._adam)
        owned = {id(w) for o in optimizers for group in o.param_groups for w in group["params"]}
        for i, weight in enumerate(self._weights):
            if id(weight) in owned:
                for other, gradients in enumerate(self._gradients):
                    if other != rank:
                        mine[i].add_(gradients[i])
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("base_lr", group["lr"]) * self._order[0].item()
            optimizer.step()
        self._barrier.wait(MAX_WAIT_S)

    def _take(self) -> bool:
        with self._num_left.get_lock():
            self._num_left.value -= 1
            return bool(self._num_left.value >= 0)

    def _learn(
        self, rank: int, ids: Tensor, positions: Tensor, targets: Tensor, weights: Tensor
    ) -> None:
        losses, _ = token_losses(self._model, Batch(ids, positions, targets, weights, 0))
        ((losses * weights).sum() / self._order[1].item()).backward()
        of_highlights = losses.detach()[weights == 1]
        self._sums[rank] += torch.tensor([of_highlights.sum().item(), len(of_highlights)])
