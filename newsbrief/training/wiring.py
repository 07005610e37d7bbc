"""Starting weights that can already copy.

A transformer learns late to continue a name that it has seen before; the two attention heads
this takes (one looks at the token before, the next finds the earlier place with the same token
before it: "induction") come only after thousands of steps. Here they are set by hand, and
training has only to learn when to use them. All other weights start at random.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from newsbrief.training.model import (
    HEAD_DIM,
    HIDDEN,
    NUM_HEADS,
    Attention,
    Llama,
    rope_frequencies,
)

CONSTANT = 3.0  # value of embedding dimension 0 in all tokens: what position-only heads look at
FINAL_SCALE = 0.06  # embeddings have norm 16, so that copied tokens get a logit near 15
NUM_FAST = 10  # rotary pairs fast enough to tell neighbours apart
FIRST_SLOW = 16  # from here on rotary pairs turn too little to disturb the comparison of contents
PREVIOUS_SHARPNESS, MATCH_SHARPNESS = 2.0, 2.6


def wire(model: Llama) -> None:
    """Replaces the starting weights of a new model."""
    with torch.no_grad():
        _wire(model)


def _wire(model: Llama) -> None:
    embedding = model.model.embed_tokens.weight
    embedding.normal_(std=1.0)
    embedding[:, 0] = CONSTANT
    model.model.norm.weight.fill_(FINAL_SCALE)
    previous = _orthonormal(2 * HEAD_DIM)  # what is kept of the token before, for two heads
    written = _orthonormal(2 * HEAD_DIM)  # where it is written
    copied = _orthonormal(2 * HEAD_DIM)
    _look_back(model.model.layers[0].self_attn, previous, written)
    _match(model.model.layers[1].self_attn, previous, written, copied, offset=0)
    _match(model.model.layers[2].self_attn, previous, written, _complement(copied), offset=32)
    for layer in model.model.layers[3:]:
        _copy_values(layer.self_attn, _orthonormal(2 * HEAD_DIM), 0.5)
    for layer in model.model.layers:
        for weight in (layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight):
            weight.normal_(std=1 / math.sqrt(HIDDEN))
        layer.mlp.down_proj.weight.normal_(std=0.2 / math.sqrt(HIDDEN))


def _orthonormal(rows: int) -> Tensor:
    """[rows, HIDDEN] with orthonormal rows that ignore dimension 0."""
    columns = torch.linalg.qr(torch.randn(HIDDEN - 1, min(rows, HIDDEN - 1))).Q
    result = torch.zeros(rows, HIDDEN)
    result[: columns.shape[1], 1:] = columns.T
    return result


def _complement(rows: Tensor) -> Tensor:
    """128 further orthonormal rows, at right angles to the given 128."""
    full = torch.linalg.qr(torch.cat([rows, torch.randn(128, HIDDEN)]).T).Q.T
    return full[128:].contiguous()


def _random_queries_and_keys(attention: Attention) -> None:
    attention.q_proj.weight.normal_(std=1 / math.sqrt(HIDDEN))
    attention.k_proj.weight.normal_(std=1 / math.sqrt(HIDDEN))


def _copy_values(attention: Attention, rows: Tensor, strength: float) -> None:
    """Each head adds what it sees, within the 64 directions of its value head."""
    attention.v_proj.weight.copy_(rows)
    for head in range(NUM_HEADS):
        value_head = rows[(head // 2) * HEAD_DIM :][:HEAD_DIM]
        columns = slice(head * HEAD_DIM, (head + 1) * HEAD_DIM)
        attention.o_proj.weight[:, columns] = strength * value_head.T


def _look_back(attention: Attention, previous: Tensor, written: Tensor) -> None:
    """Heads 0 and 2 look at the token before, head 1 at the one before that."""
    _random_queries_and_keys(attention)
    angles = rope_frequencies()[:NUM_FAST]
    keys, queries = attention.k_proj.weight, attention.q_proj.weight
    for kv_head in (0, 1):
        base = kv_head * HEAD_DIM
        keys[base : base + HEAD_DIM] = 0.0
        keys[base : base + NUM_FAST, 0] = PREVIOUS_SHARPNESS
    for head, distance in ((0, 1), (1, 2), (2, 1)):
        base, half = head * HEAD_DIM, HEAD_DIM // 2
        queries[base : base + HEAD_DIM] = 0.0
        queries[base : base + NUM_FAST, 0] = PREVIOUS_SHARPNESS * (distance * angles).cos()
        queries[base + half : base + half + NUM_FAST, 0] = (
            -PREVIOUS_SHARPNESS * (distance * angles).sin()
        )
    attention.v_proj.weight.copy_(previous)
    attention.o_proj.weight.normal_(std=0.1 / math.sqrt(HIDDEN))
    for head in (0, 2):
        rows = written[(head // 2) * HEAD_DIM :][:HEAD_DIM]
        attention.o_proj.weight[:, head * HEAD_DIM : (head + 1) * HEAD_DIM] = 1.4 * rows.T


def _match(
    attention: Attention, previous: Tensor, written: Tensor, copied: Tensor, offset: int
) -> None:
    """Heads 0 and 2 compare the current token with the one before each earlier token.

    Each compares 32 of the directions kept by its look-back head, from `offset` on.
    """
    _random_queries_and_keys(attention)
    half = HEAD_DIM // 2
    slow = [*range(FIRST_SLOW, half), *range(half + FIRST_SLOW, HEAD_DIM)]
    for kv_head in (0, 1):
        kept = slice(kv_head * HEAD_DIM + offset, kv_head * HEAD_DIM + offset + len(slow))
        keys = attention.k_proj.weight[kv_head * HEAD_DIM : (kv_head + 1) * HEAD_DIM]
        queries = attention.q_proj.weight[2 * kv_head * HEAD_DIM :][:HEAD_DIM]
        queries.zero_()
        keys.zero_()
        keys[slow] = MATCH_SHARPNESS * written[kept]
        queries[slow] = MATCH_SHARPNESS * previous[kept]
        fast = [i for i in range(HEAD_DIM) if i not in slow]
        keys[fast] = torch.randn(len(fast), HIDDEN) / math.sqrt(HIDDEN)
    _copy_values(attention, copied, 4.0)
