"""Reads parts of a collection by ranges of ids, so that a sample of it costs what the sample is large."""

from typing import Any

from vitrine.domain import Deadline
from vitrine.vectorstore.collection import EMBEDDING, ID
from vitrine.vectorstore.columns import values_in, vectors_in
from vitrine.vectorstore.reader import CollectionReader, VectorPage


class SampleReader(CollectionReader):
    """Reads parts; writes of the last seconds may be missing.

    All of it raises CollectionNotFound, CollectionNotReady, VectorStoreUnavailable and DeadlineExceeded.
    """

    async def ids_after(self, name: str, after: str, count: int, deadline: Deadline) -> list[str]:
        """The next ids in the order of their bytes; none at the end of the collection.

        Args:
            name: the collection's own.
            after: the id before; empty: from the first.
            count: at most so many, 16,384 or fewer.
            deadline: for the call.
        """
        pages = self._pages(name, [ID], count, deadline, doing="list ids", strong=False, after=after)
        columns: dict[str, Any] = await anext(pages, {})
        return sorted(set(values_in(columns[ID])), key=str.encode) if columns else []

    async def vectors_between(
        self, name: str, after: str, up_to: str | None, most: int, deadline: Deadline
    ) -> VectorPage | None:
        """Ids of a range with their vectors, float32 [n, dim]; None when it is empty.

        Args:
            name: the collection's own.
            after: the range begins behind it.
            up_to: and ends with it; None: it has no end.
            most: rows read; those with the greatest ids are left out beyond.
            deadline: for the call.
        """
        pages = self._pages(
            name, [ID, EMBEDDING], most, deadline, doing="read vectors", strong=False, after=after, up_to=up_to
        )
        columns: dict[str, Any] = await anext(pages, {})
        if not columns:
            return None
        position = {item_id: row for row, item_id in enumerate(values_in(columns[ID]))}
        return list(position), vectors_in(columns[EMBEDDING])[list(position.values())]
