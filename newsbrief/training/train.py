"""Trains the checkpoint on the CPU; a stopped run continues from its state file.

Run as `python -m newsbrief.training.train`. Progress is the larger of the used shares of
`--tokens` and `--minutes`; the learning rate rises for some steps, stays, and then falls to zero
in a straight line, so that the budget's end is also the schedule's end.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from newsbrief import CHECKPOINT, articles
from newsbrief.training.data import (
    Batch,
    chunk_batches,
    collate,
    copy_batch,
    encode,
    load_tokenizer,
)
from newsbrief.training.export import export
from newsbrief.training.model import Llama
from newsbrief.training.muon import Muon
from newsbrief.training.team import Team, token_losses
from newsbrief.training.wiring import wire

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WARMUP_STEPS = 30
DECAY_FROM = 0.4  # share of the budget after which the learning rate falls
COPY_STEPS = 30  # the first steps, on repeated random tokens
BARE_UNTIL = 0.15  # share of the budget until which articles come without background
LOG_STEPS, CHECK_STEPS, SAVE_STEPS = 20, 200, 200
CHECK_ARTICLES = 48


@dataclass
class State:
    """Where a run stands."""

    step: int = 0
    tokens: int = 0
    elapsed_s: float = 0.0
    chunk: int = 0
    batch: int = 0
    bare: bool = True
    curve: list[dict[str, float]] = field(default_factory=list)


class Run:
    """One training run: model, optimisers, position in the data."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        torch.manual_seed(options.seed)
        self.model = Llama()
        wire(self.model)
        self.state = State()
        embedding = self.model.model.embed_tokens.weight
        hidden = [weight for weight in self.model.model.layers.parameters() if weight.ndim == 2]
        norms = [weight for weight in self.model.parameters() if weight.ndim == 1]
        share = -(-len(hidden) // options.workers)
        muons = [
            Muon(hidden[i * share : (i + 1) * share], lr=options.lr) for i in range(options.workers)
        ]
        adam = torch.optim.AdamW(
            [
                {"params": [embedding], "lr": options.lr_embedding},
                {"params": norms, "lr": options.lr_norm},
            ],
            betas=(0.9, 0.95),
            weight_decay=0.0,
        )
        self.optimizers: list[torch.optim.Optimizer] = [*muons, adam]
        self.tokenizer = load_tokenizer(options.checkpoint)
        self.state_file: Path = options.state / "state.pt"
        self.resume()
        self.team = Team(self.model, muons, adam)
        self.started_s = time.monotonic() - self.state.elapsed_s

    def resume(self) -> None:
        """Takes over the state file, if there is one."""
        if not self.state_file.exists():
            return
        saved = torch.load(self.state_file, weights_only=True)
        self.model.load_state_dict(saved["model"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.state = State(**saved["state"])
        say(f"resumed at step {self.state.step}")

    def save(self) -> None:
        """Writes the state file and exports the weights."""
        self.state.elapsed_s = time.monotonic() - self.started_s
        temporary = self.state_file.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
                "state": asdict(self.state),
            },
            temporary,
        )
        temporary.replace(self.state_file)
        options = {
            name: value for name, value in vars(self.options).items() if not isinstance(value, Path)
        }
        (self.options.state / "options.json").write_text(json.dumps(options, indent=1))
        (self.options.state / "curve.json").write_text(json.dumps(asdict(self.state), indent=1))
        export(self.model, self.options.checkpoint)

    def progress(self) -> float:
        """Share of the budget used, 0 to 1 and above."""
        minutes = (time.monotonic() - self.started_s) / 60
        return float(max(self.state.tokens / self.options.tokens, minutes / self.options.minutes))

    def batches(self) -> Iterator[list[Batch]]:
        """The rest of the data from the current position on."""
        while self.state.step < COPY_STEPS:
            yield copy_batch(self.state.step, self.options.seed)
        while True:
            if self.state.batch == 0:
                self.state.bare = self.progress() < BARE_UNTIL
            batches = chunk_batches(
                self.tokenizer,
                self.state.chunk,
                self.options.batch,
                self.options.seed,
                bare=self.state.bare,
            )
            for number, batch in enumerate(batches):
                if number >= self.state.batch:
                    self.state.batch = number + 1
                    yield batch
            self.state.chunk, self.state.batch = self.state.chunk + 1, 0

    def train_step(self, pieces: list[Batch]) -> float:
        """One update; returns the highlights' loss before it."""
        factor = min(1.0, (self.state.step + 1) / WARMUP_STEPS)
        factor *= min(1.0, max(0.0, (1 - self.progress()) / (1 - DECAY_FROM)))
        loss = self.team.step(pieces, factor)
        self.state.step += 1
        self.state.tokens += sum(piece.num_tokens for piece in pieces)
        return loss

    def train(self) -> None:
        """Until the budget is used up."""
        checks = check_batches(self.options, self.tokenizer)
        recent: list[float] = []
        for batch in self.batches():
            recent.append(self.train_step(batch))
            step, progress = self.state.step, self.progress()
            is_last = progress >= 1
            if step % LOG_STEPS == 0 or is_last:
                minutes = (time.monotonic() - self.started_s) / 60
                say(
                    f"step {step} tokens {self.state.tokens / 1e6:.2f}M "
                    f"loss {sum(recent) / len(recent):.3f} "
                    f"{self.state.tokens / minutes / 60:.0f} tok/s "
                    f"{progress:.1%} left {minutes / progress - minutes:.0f} min"
                )
                recent = []
            if step % CHECK_STEPS == 0 or is_last:
                self.state.curve.append(check(self.model, checks, self.state))
                say(f"  check {self.state.curve[-1]}")
            if step % SAVE_STEPS == 0 or is_last:
                self.save()
            if is_last:
                return


def check_batches(options: argparse.Namespace, tokenizer: Tokenizer) -> list[Batch]:
    """Batches of the `validation` split from an index that the evaluation does not use."""
    rows = encode(tokenizer, list(articles("validation", CHECK_ARTICLES, start=100_000)))
    rows.sort(key=lambda row: len(row[0]))
    rng = random.Random(0)
    return [collate(rows[i : i + 24], rng, of_article=False) for i in range(0, len(rows), 24)]


def check(model: Llama, batches: list[Batch], state: State) -> dict[str, float]:
    """Loss and accuracy of the highlights' tokens, each predicted from the true ones before it."""
    with torch.no_grad():
        results = [token_losses(model, batch) for batch in batches]
    return {
        "step": state.step,
        "tokens": state.tokens,
        "loss": round(torch.cat([losses for losses, _ in results]).mean().item(), 4),
        "accuracy": round(torch.cat([right for _, right in results]).float().mean().item(), 4),
    }


def say(line: str) -> None:
    """One line of the log."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT, help="tokenizer, and output")
    parser.add_argument("--state", type=Path, default=Path("/tmp/newsbrief-train"))
    parser.add_argument("--tokens", type=float, default=14e6)
    parser.add_argument("--minutes", type=float, default=80)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.02, help="of Muon, the hidden matrices")
    parser.add_argument("--lr-embedding", type=float, default=0.01, help="of AdamW")
    parser.add_argument("--lr-norm", type=float, default=0.002, help="of AdamW")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.state.mkdir(parents=True, exist_ok=True)
    # An orderly exit, so that the other processes of the team end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    Run(options).train()


if __name__ == "__main__":
    main()
