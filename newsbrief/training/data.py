"""Training batches: prompts and highlights as token ids, with the weight of each prediction."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from newsbrief import PROMPT_TEMPLATE, Article, article
from newsbrief.generator import bare_article
from newsbrief.training.model import VOCABULARY

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BOS_ID, EOS_ID = 0, 1
CHUNK_ARTICLES = 1_024
PIECE_ROWS = 2
COPY_PIECES, COPY_ROWS, COPY_LENGTH = 4, 8, 64
WEIGHT_REPEATED, WEIGHT_OTHER, SHARE_OTHER = 0.3, 0.05, 0.1
"""Weights of article tokens, against 1 for highlights: of tokens that complete a pair seen before
in the article (they teach the model to copy), and of a tenth of the others."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`ids` [batch, length]; predictions at `positions` of the flattened batch, their targets and
    weights, each [n]; `num_tokens` without padding."""

    ids: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor
    num_tokens: int


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a checkpoint folder."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def encode(tokenizer: Tokenizer, items: list[Article]) -> list[tuple[list[int], int]]:
    """Per article its ids (BOS, prompt, highlights, EOS) and the length of BOS and prompt."""
    prompts = [PROMPT_TEMPLATE.format(article=item.article) for item in items]
    heads = tokenizer.encode_batch(prompts)
    tails = tokenizer.encode_batch([item.highlights for item in items], add_special_tokens=False)
    return [
        ([*head.ids, *tail.ids, EOS_ID], len(head.ids))
        for head, tail in zip(heads, tails, strict=True)
    ]


def collate(rows: list[tuple[list[int], int]], rng: random.Random, *, of_article: bool) -> Batch:
    """Pads rows on the right; without `of_article` only the highlights are predicted."""
    length = max(len(ids) for ids, _ in rows)
    padded, positions, targets, weights = [], [], [], []
    for row, (ids, prompt_length) in enumerate(rows):
        padded.append(ids + [EOS_ID] * (length - len(ids)))
        seen: set[tuple[int, int]] = set()
        for i in range(len(ids) - 1):
            pair = (ids[i], ids[i + 1])
            if i + 1 >= prompt_length:
                weight = 1.0
            elif not of_article:
                continue
            elif pair in seen:
                weight = WEIGHT_REPEATED
            elif rng.random() < SHARE_OTHER:
                weight = WEIGHT_OTHER
            else:
                seen.add(pair)
                continue
            seen.add(pair)
            positions.append(row * length + i)
            targets.append(ids[i + 1])
            weights.append(weight)
    return Batch(
        torch.tensor(padded),
        torch.tensor(positions),
        torch.tensor(targets),
        torch.tensor(weights),
        sum(len(ids) for ids, _ in rows),
    )


def chunk_batches(
    tokenizer: Tokenizer, chunk: int, batch_size: int, seed: int, *, bare: bool
) -> Iterator[list[Batch]]:
    """The batches of one chunk of the `train` split, each as pieces of two similar lengths.

    `bare` chunks hold the facts of articles alone.
    """
    rng = random.Random(seed * 1_000_003 + chunk)
    numbers = range(chunk * CHUNK_ARTICLES, (chunk + 1) * CHUNK_ARTICLES)
    write = bare_article if bare else partial(article, "train")
    rows = encode(tokenizer, [write(number) for number in numbers])
    rng.shuffle(rows)
    for start in range(0, len(rows) - batch_size + 1, batch_size):
        group = sorted(rows[start : start + batch_size], key=lambda row: len(row[0]))
        yield [
            collate(group[i : i + PIECE_ROWS], rng, of_article=True)
            for i in range(0, batch_size, PIECE_ROWS)
        ]


def copy_batch(step: int, seed: int) -> list[Batch]:
    """Random tokens which repeat themselves after 8 to 30; only repetitions are predicted.

    They settle the copying heads that are set by hand, in sequences that cost little.
    """
    rng = random.Random(seed * 1_000_033 + step)
    pieces = []
    for _ in range(COPY_PIECES):
        ids, positions = [], []
        for row in range(COPY_ROWS):
            period = rng.randint(8, 30)
            pattern = [rng.randrange(2, VOCABULARY) for _ in range(period)]
            repeated = (pattern * COPY_LENGTH)[: COPY_LENGTH - 1]
            ids.append([BOS_ID, *repeated])
            positions += [row * COPY_LENGTH + i for i in range(period + 1, COPY_LENGTH - 1)]
        flat = [token for row_ids in ids for token in row_ids]
        targets = [flat[i + 1] for i in positions]
        pieces.append(
            Batch(
                torch.tensor(ids),
                torch.tensor(positions),
                torch.tensor(targets),
                torch.ones(len(targets)),
                COPY_ROWS * COPY_LENGTH,
            )
        )
    return pieces
