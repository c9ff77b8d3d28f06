"""The ids of a collection, cut into blocks that are visited in an order drawn by chance.

Rows cannot be drawn by chance from every Milvus: 2.3 has no word for it. Ids are read once, in their order, and every
few hundredth is kept: what lies between two of these marks is a block. Blocks have about as many products each, so each
product has the same chance to be seen next, and after a walk over all blocks each was seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from vitrine.domain import Deadline
from vitrine.vectorstore.sampling import SampleReader

MOST_BLOCKS: Final = 65_536
"""Marks kept in memory, some 5 MB; larger collections have larger blocks."""
IDS_PER_CALL: Final = 4_096
"""They are sorted between two requests of others: a millisecond."""
CALLS_PER_RUN: Final = 64
OVERGROWN: Final = 4
"""A block with more than so many times its products at the time of the cut is not read to its end."""
_SHRUNK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Block:
    """Ids behind `after` up to `up_to`; None: to the last there is."""

    after: str
    up_to: str | None


class Cut:
    """Finds the blocks, a bounded number of ids at a time.

    Args:
        name: the collection's own.
        size: products of a block.
    """

    def __init__(self, name: str, size: int) -> None:
        self.size = size
        self._name = name
        self._marks: list[str] = []
        self._last = ""
        self._unmarked = 0

    async def go_on(self, reader: SampleReader, deadline: Deadline) -> list[Block] | None:
        """Reads on for `CALLS_PER_RUN` calls at most.

        Returns:
            The blocks, once all ids are read; None: there are more.

        Raises:
            CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded
        """
        for _ in range(CALLS_PER_RUN):
            ids = await reader.ids_after(self._name, self._last, IDS_PER_CALL, deadline)
            if not ids:
                return self._blocks()
            self._mark(ids)
        return None

    def _blocks(self) -> list[Block]:
        # The last block has no end: products that come later mostly have the greatest ids.
        inner = self._marks if self._unmarked else self._marks[:-1]
        return [Block(after, end) for after, end in zip(["", *inner], [*inner, None], strict=True)]

    def _mark(self, ids: Sequence[str]) -> None:
        self._last = ids[-1]
        for item_id in ids:
            self._unmarked += 1
            if self._unmarked == self.size:
                self._marks.append(item_id)
                self._unmarked = 0
        while len(self._marks) >= MOST_BLOCKS:
            self._marks = self._marks[1::2]
            self.size *= 2


class Walk:
    """Visits every block once, in an order drawn by chance, and then all of them again in another.

    Args:
        blocks: all of a collection, one at least.
        size: products of a block when they were cut.
        random: for the order.
        walked: all of the collection was visited before, in blocks that were cut otherwise.
    """

    def __init__(self, blocks: Sequence[Block], size: int, random: Random, *, walked: bool = False) -> None:
        self._blocks = list(blocks)
        self._size = size
        self._random = random
        self._next = 0
        self._rows = 0
        self._walked = walked
        self._overgrown = False
        self.outdated = False
        random.shuffle(self._blocks)

    @property
    def most(self) -> int:
        """Products of one block that are read."""
        return OVERGROWN * self._size

    @property
    def seen(self) -> float:
        """Share of the blocks that were visited so far."""
        return 1.0 if self._walked else self._next / len(self._blocks)

    def ahead(self, products: int) -> list[Block]:
        """The next blocks with so many products between them, one at least; never beyond the end of this walk."""
        return self._blocks[self._next : self._next + max(1, products // self._size)]

    def visited(self, rows: int) -> None:
        """The next block was read: it held so many products.

        At the end of a walk `outdated` tells whether the blocks fit no longer, so that they should be cut anew.
        """
        self._next += 1
        self._rows += rows
        self._overgrown = self._overgrown or rows >= self.most
        if self._next == len(self._blocks):
            usual = self._size * (len(self._blocks) - 1)
            self.outdated = self._overgrown or self._rows < _SHRUNK * usual
            self._walked, self._next, self._rows, self._overgrown = True, 0, 0, False
            self._random.shuffle(self._blocks)
