"""What an engine takes of a device's memory, and how many requests find room beside it.

An estimate from the architecture alone, made before anything is spent; the builder and the executor
have the last word.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.roofline.storage import Storage
    from build_engine.store.limits import EngineLimits

_ATTENTION = ".self_attn."
_NORM_BYTES = 2  # 16 bits, whatever the recipe
LOGIT_BYTES = 4  # float32


@dataclass(frozen=True, slots=True)
class Elements:
    """How many elements a model has of each kind. Source: the shapes of the checkpoint."""

    attention: int
    """Weights of the linear layers around attention."""
    mlp: int
    """Weights of the linear layers of the MLPs."""
    table: int
    """Of the embedding; the head has as many."""
    small: int
    """Norms and biases."""
    kv_token: int
    """Of the KV cache for one token: 2 (key, value) x layers x KV heads x head size."""

    @classmethod
    def of(cls, config: LlamaConfig) -> Elements:
        """Of one architecture."""
        attention = mlp = small = 0
        for name, shape in replace(config, num_layers=1).tensor_shapes.items():
            if not name.startswith("model.layers."):
                continue
            if len(shape) == 1:
                small += shape[0]
            elif _ATTENTION in name:
                attention += math.prod(shape)
            else:
                mlp += math.prod(shape)
        return cls(
            attention=config.num_layers * attention,
            mlp=config.num_layers * mlp,
            table=config.vocab_size * config.hidden_size,
            small=config.num_layers * small + config.hidden_size,
            kv_token=2 * config.num_layers * config.num_kv_heads * config.head_dim,
        )

    @property
    def linear(self) -> int:
        """Weights of all linear layers but the head."""
        return self.attention + self.mlp


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of a model's weights by the kind of tensor. A head that is also the embedding counts as
    the head.
    """

    attention: int
    mlp: int
    embedding: int
    head: int
    small: int

    @classmethod
    def of(cls, elements: Elements, storage: Storage) -> Weights:
        """As an engine keeps them."""
        table = round(elements.table * storage.table_bytes)
        return cls(
            attention=round(elements.attention * storage.linear_bytes),
            mlp=round(elements.mlp * storage.linear_bytes),
            embedding=0 if storage.shares_table else table,
            head=table,
            small=elements.small * _NORM_BYTES,
        )

    def shared(self, parts: int) -> Weights:
        """What each of so many devices keeps of them."""
        return Weights(**{name: size // parts for name, size in asdict(self).items()})

    @property
    def resident(self) -> int:
        """All of them."""
        return self.read_per_step + self.embedding

    @property
    def read_per_step(self) -> int:
        """What every iteration reads: all but the embedding, of which it takes a row a token."""
        return self.attention + self.mlp + self.head + self.small


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes on one device. `kv_request` is the cache of one request at its longest."""

    weights: int
    activations: int
    kv_request: int

    @property
    def least(self) -> int:
        """What one request needs."""
        return self.weights + self.activations + self.kv_request


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildNeeds:
    """Bytes that making an engine needs: to quantise the checkpoint, on the device and beside it,
    then to compile; `disk` holds the quantised checkpoint and the engine. What is quantised while
    it is compiled needs nothing before.
    """

    quantise_device: int
    quantise_host: int
    quantise_disk: int
    build_device: int
    build_host: int
    disk: int

    @property
    def quantise_alone(self) -> int:
        """On the host, where no device is used to quantise: what would lie on it lies there too."""
        return self.quantise_host + self.quantise_device


def checkpoint_bytes(config: LlamaConfig) -> int:
    """Of a checkpoint in 16 bits."""
    return 2 * sum(map(math.prod, config.tensor_shapes.values()))


def estimate(config: LlamaConfig, storage: Storage, limits: EngineLimits) -> MemoryEstimate:
    """The memory of an engine on each of its devices.

    Activations are those of one layer at a time (residual, its norm, and both halves of the MLP),
    and logits in float32 for the last token of each request.
    """
    parts = limits.tensor_parallel
    elements = Elements.of(config)
    layer = limits.max_num_tokens * activation_bytes_per_token(config, storage)
    logits = limits.max_batch_size * config.vocab_size * LOGIT_BYTES
    cache = elements.kv_token * storage.kv_reserved_bytes * limits.max_seq_len
    return MemoryEstimate(
        weights=Weights.of(elements, storage).resident // parts,
        activations=layer + logits,
        kv_request=round(cache) // parts,
    )


def activation_bytes_per_token(config: LlamaConfig, storage: Storage) -> int:
    """Bytes that one more token in an iteration takes."""
    return storage.activation_bytes * (2 * config.hidden_size + 2 * config.intermediate_size)


def cache_room(memory_bytes: int, needed: MemoryEstimate, storage: Storage) -> int:
    """Bytes of the KV cache on a device of `memory_bytes`: the executor's share of what the engine
    leaves free; 0 where it does not fit.
    """
    free = memory_bytes - needed.weights - needed.activations
    return max(0, int(free * storage.cache_share.of(free)))


def least_device_bytes(needed: MemoryEstimate, storage: Storage) -> int:
    """The least memory of a device on which the executor has room for one request."""
    return needed.weights + needed.activations + int(needed.kv_request / storage.cache_share.least)


def requests_in(
    room_bytes: int, elements: Elements, storage: Storage, tokens: float, parts: int = 1
) -> int:
    """Requests of `tokens` (prompt and answer) whose cache fits into `room_bytes` on each of
    `parts` devices.
    """
    return int(room_bytes * parts / (elements.kv_token * storage.kv_reserved_bytes * tokens))
