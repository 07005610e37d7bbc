"""The blocks of a KV cache: how many are used, and how many are promised."""

from __future__ import annotations


class BlockPool:
    """A KV cache of `total` blocks with room for `tokens_per_block` tokens each.

    Blocks are used as tokens come. A promise keeps enough of them back for a whole answer, so
    that it never has to stop for want of one.
    """

    def __init__(self, total: int, tokens_per_block: int) -> None:
        self.total = total
        self.used = 0
        self._promised = 0
        self._tokens_per_block = tokens_per_block

    def needed(self, tokens: int) -> int:
        """Blocks of so many tokens of one request."""
        return -(-tokens // self._tokens_per_block)

    @property
    def free(self) -> int:
        """Blocks that are neither used nor promised; those promised are used first."""
        return self.total - max(self.used, self._promised)

    def take(self, blocks: int) -> None:
        """Use blocks, promised ones or free ones."""
        self.used += blocks
        assert 0 <= self.used <= self.total, "more blocks in use than there are"

    def give_back(self, blocks: int) -> None:
        """Blocks that are no longer used."""
        self.take(-blocks)

    def promise(self, blocks: int) -> None:
        """Keep free blocks for one request; a negative number ends a promise."""
        self._promised += blocks
        assert 0 <= self._promised <= self.total, "more blocks promised than there are"
