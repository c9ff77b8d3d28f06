"""Pictures of items, from wherever they come, as pixels: a few at a time, so that many need no more memory than few."""

import asyncio
from collections.abc import Iterable, Sequence

from vitrine.domain import Deadline, Pixels
from vitrine.embedding.encoder import Encoder
from vitrine.errors import InvalidInput
from vitrine.gateway.items.checking import SentItem
from vitrine.gateway.items.folder import ImageFolder
from vitrine.gateway.pictures import Pictures


class ItemPictures:
    """Gets and decodes pictures of items.

    Args:
        pictures: what bodies carry or address.
        folder: what lies on this server.
        encoder: decodes, in the threads that all pictures of this process share.
        at_once: pictures of one request held in memory as files. No more than there are threads, or a bulk request
            would queue all of its pictures before those of searches.
    """

    def __init__(self, pictures: Pictures, folder: ImageFolder, encoder: Encoder, *, at_once: int) -> None:
        self._pictures = pictures
        self._folder = folder
        self._encoder = encoder
        self._at_once = at_once

    def check_count(self, items: Iterable[SentItem]) -> None:
        """Raises LimitExceeded: more pictures by address than one request may name."""
        self._pictures.check_count(item.picture for item in items if isinstance(item.picture, str))

    async def pixels_of(self, items: Sequence[SentItem], deadline: Deadline) -> list[Pixels | InvalidInput]:
        """Pixels of each item's picture, or why there are none.

        Raises:
            DeadlineExceeded: for all of them.
        """
        gate = asyncio.Semaphore(self._at_once)

        async def one(item: SentItem) -> Pixels | InvalidInput:
            async with gate:
                try:
                    return await self._encoder.decode(await self._file(item, deadline), deadline)
                except InvalidInput as error:
                    return error

        tasks = [asyncio.ensure_future(one(item)) for item in items]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            # After an error the others would go on, for a request that is over.
            for task in tasks:
                task.cancel()

    async def _file(self, item: SentItem, deadline: Deadline) -> bytes:
        if isinstance(item.picture, bytes):
            return item.picture
        if item.picture is not None:
            return await self._pictures.bytes_of(item.picture, deadline)
        return await self._folder.read(item.image_path, deadline)
