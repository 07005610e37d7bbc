"""Whether an engine finds room on a device, and what to lower where it does not: one sentence for
every target.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_engine.progress import size_text
from build_engine.roofline.memory import cache_room, estimate, least_device_bytes

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.roofline.storage import Storage
    from build_engine.store.limits import EngineLimits

PAGE = 32
"""Tokens of a page of the KV cache, with every library: no iteration is smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A model on a device of so many bytes; `memory` is what they are, as in "of GPU memory", and
    `source` says how many there are, as in "target `a30` has 24 GB".
    """

    config: LlamaConfig
    device_bytes: int
    memory: str
    source: str

    def fits(self, storage: Storage, limits: EngineLimits) -> bool:
        """Whether one request of the greatest length can be answered."""
        needed = estimate(self.config, storage, limits)
        return cache_room(self.device_bytes, needed, storage) >= needed.kv_request

    def lack(
        self, recipe: str, storage: Storage, limits: EngineLimits, others: Iterable[str]
    ) -> str:
        """Why it does not fit: what `recipe` needs for one request, what there is, and what to do,
        of which `others` come after the sizes.
        """
        needed = estimate(self.config, storage, limits)
        ways = [*self._smaller(storage, limits), *others]
        return (
            f"`{recipe}` needs about {size_text(least_device_bytes(needed, storage))} of "
            f"{self.memory} memory for one request of {limits.max_seq_len:,} tokens (weights "
            f"{size_text(needed.weights)}, activations {size_text(needed.activations)} at "
            f"max_batch_size {limits.max_batch_size} and max_num_tokens {limits.max_num_tokens}, "
            f"KV cache {size_text(needed.kv_request)} out of {storage.cache_share.least:.0%} of "
            f"the rest), and {self.source}; "
            f"{', or '.join(ways) or 'choose a target with more memory'}."
        )

    def recipes(
        self, storage: Storage, limits: EngineLimits, others: Iterable[tuple[str, Storage]]
    ) -> Iterator[str]:
        """Those of `others` with smaller weights than `storage` that fit, as a way out."""
        names = [
            f"`{name}`"
            for name, other in others
            if other.linear_bytes < storage.linear_bytes and self.fits(other, limits)
        ]
        if names:
            yield f"take a recipe that fits ({', '.join(names)})"

    def _smaller(self, storage: Storage, limits: EngineLimits) -> Iterator[str]:
        """The sizes that make it fit, each by itself and as large as can be."""
        answer = limits.max_new_tokens
        fewest = PAGE if storage.chunked else limits.max_input_len
        sizes: tuple[tuple[str, int, int, Callable[[int], EngineLimits]], ...] = (
            (
                "--max-batch-size",
                1,
                limits.max_batch_size,
                lambda n: replace(limits, max_batch_size=n),
            ),
            (
                "--max-num-tokens",
                fewest,
                limits.max_num_tokens,
                lambda n: replace(limits, max_num_tokens=n),
            ),
            (
                "--max-input-len",
                1,
                limits.max_input_len,
                lambda n: replace(limits, max_input_len=n, max_seq_len=n + answer),
            ),
        )
        for option, least, size, changed in sizes:
            fitting = bisect(
                range(least, size), False, key=lambda n: not self.fits(storage, changed(n))
            )
            if fitting:
                most = least + fitting - 1
                yield f"lower {option} by {size - most:,} to {most}"
