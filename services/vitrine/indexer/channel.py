"""A bounded queue between two stages that can be closed: what asyncio.Queue gains only with Python 3.13."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Hands items from producers to consumers in one event loop; a full channel makes producers wait.

    Args:
        capacity: most items held at once.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._closed = False
        self._changed = asyncio.Condition()

    async def put(self, item: T) -> None:
        """Waits for room. Putting into a closed channel is a defect of the caller."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._items) < self._capacity)
            if self._closed:
                raise RuntimeError("the channel is closed")
            self._items.append(item)
            self._changed.notify_all()

    async def close(self) -> None:
        """No further items. Those inside are still handed out."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self, most: int, *, within_s: float | None = None) -> list[T] | None:
        """Waits for at least one item and takes up to `most`.

        Args:
            within_s: longest to wait; an empty list when nothing came. None: wait until there is something.

        Returns:
            None once the channel is closed and empty.
        """
        try:
            async with asyncio.timeout(within_s), self._changed:
                await self._changed.wait_for(lambda: self._items or self._closed)
                if not self._items:
                    return None
                taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
                self._changed.notify_all()
                return taken
        except TimeoutError:
            return []

    async def batches(self, size: int) -> AsyncIterator[list[T]]:
        """Full batches of `size`, and what is left at the end."""
        batch: list[T] = []
        while (taken := await self.take(size - len(batch))) is not None:
            batch += taken
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    async def __aiter__(self) -> AsyncIterator[T]:
        while (taken := await self.take(1)) is not None:
            for item in taken:
                yield item
