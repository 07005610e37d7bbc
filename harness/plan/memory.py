"""What an engine takes of its device, and how many requests find room beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.progress import size_text
from build_engine.recipe import load_recipe, recipe_names
from build_engine.roofline.memory import (
    BuildNeeds,
    Elements,
    Weights,
    activation_bytes_per_token,
    cache_room,
    estimate,
    requests_in,
)
from build_engine.roofline.room import Room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_engine.roofline.storage import Storage
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target
    from harness.plan.asked import Asked

_MOST_TOKENS = 16_384  # of an iteration: above it TensorRT-LLM warns
_ALIGNMENT = 64
_FREE_MEMORY = "end other programs, or raise the container's limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """Bytes on each device, and the requests that fit.

    `requests` and `longest_requests` count requests of the workload's mean and greatest length,
    whatever the batch size is; `most_num_tokens` is the largest iteration beside which
    `limits.max_batch_size` mean requests fit, 0 where they do not.
    """

    device: int
    device_source: str
    on_host: bool
    """Whether the device's memory is that of this machine."""
    weights: Weights
    activations: int
    cache: int
    kv_token: int
    requests: int
    longest_requests: int
    limits: EngineLimits
    most_num_tokens: int
    needs: BuildNeeds | None
    too_large: str
    """Why `build` refuses the sizes, or not one request of the greatest length finds room, with
    what to change; "" where it fits.
    """

    @property
    def runtime(self) -> int:
        """What is left to the runtime; less than nothing is what lacks."""
        return self.device - self.weights.resident - self.activations - self.cache

    @property
    def at_once(self) -> int:
        """Requests that are computed at once: as many as fit, and as the engine is built for."""
        return min(self.requests, self.limits.max_batch_size)

    @property
    def fits(self) -> bool:
        """Whether `build` takes the sizes, and one request of the greatest length is answered."""
        return not self.too_large

    @property
    def quantises(self) -> bool:
        """Whether a device like this has room for quantising the checkpoint, or none is needed."""
        return self.needs is None or self.needs.quantise_device <= self.device


def memory_plan(asked: Asked) -> MemoryPlan:
    """The memory of an engine as `build` would make it. Raises ConfigError where nothing is known
    of it.
    """
    config, storage, limits = asked.model.config, asked.storage, asked.limits
    lengths, elements = asked.lengths, Elements.of(config)
    device, source = device_bytes(asked.target)
    needed = estimate(config, storage, limits)
    cache = cache_room(device, needed, storage)
    parts = limits.tensor_parallel
    requests = requests_in(cache, elements, storage, lengths.request, parts)
    longest = requests_in(cache, elements, storage, limits.max_seq_len, parts)
    per_token = activation_bytes_per_token(config, storage)
    kv_token = elements.kv_token * storage.kv_reserved_bytes / parts
    taken = limits.max_batch_size * kv_token * lengths.request
    spare = int((cache - taken) / storage.cache_share.least / per_token)
    tokens = min(_MOST_TOKENS, limits.max_num_tokens + spare) if spare >= 0 else 0
    return MemoryPlan(
        device=device,
        device_source=source,
        on_host=asked.target.memory_gib is None,
        weights=Weights.of(elements, storage).shared(parts),
        activations=needed.activations,
        cache=cache,
        kv_token=round(kv_token),
        requests=requests,
        longest_requests=longest,
        limits=limits,
        most_num_tokens=tokens // _ALIGNMENT * _ALIGNMENT,
        needs=asked.backend.needs_of(config, asked.recipe, limits),
        too_large=asked.too_large or _lack(asked, storage, limits, device),
    )


def _lack(asked: Asked, storage: Storage, limits: EngineLimits, device: int) -> str:
    """What lacks on a device of which the backend says nothing by itself, as CPUs are."""
    here, target, size = asked.target.memory_gib is None, asked.target, size_text(device)
    room = Room(
        config=asked.model.config,
        device_bytes=device,
        memory="GPU" if target.kind == "gpu" else "host",
        source=f"{size} are free here now" if here else f"target `{target.name}` has {size}",
    )
    if room.fits(storage, limits):
        return ""
    others = [*room.recipes(storage, limits, _others(asked)), *([_FREE_MEMORY] if here else [])]
    return room.lack(asked.recipe.name, storage, limits, others)


def _others(asked: Asked) -> Iterator[tuple[str, Storage]]:
    """Every recipe that the target can execute, and how it keeps its parts."""
    for name in recipe_names():
        recipe = load_recipe(name)
        if asked.backend.refusal_of(recipe, asked.target) is None:
            yield name, asked.backend.storage_of(recipe, asked.model.config)


def device_bytes(target: Target) -> tuple[int, str]:
    """The memory of a target's device in bytes, and how it is known: a GPU's is in its file, that
    of a CPU is what this machine has free.
    """
    if target.memory_gib is not None:
        return int(target.memory_gib * 2**30), f"target `{target.name}`"
    from build_engine.free_memory import available_bytes

    return available_bytes(), "free on this machine now"
