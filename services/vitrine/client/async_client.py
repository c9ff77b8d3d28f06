"""The client for coroutines: `Client`, method by method, with `await`."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx

from vitrine.client import reading, searching, writing
from vitrine.client.answers import (
    BulkDeleted,
    BulkWritten,
    Collection,
    Embeddings,
    Item,
    Limit,
    LoadState,
    Readiness,
    SearchAnswer,
    SearchHit,
    StoredItem,
)
from vitrine.client.call import Call, Received
from vitrine.client.endpoint import DEFAULT_RETRIES, DEFAULT_TIMEOUT_S, Endpoint, Inflow
from vitrine.client.errors import ApiError
from vitrine.client.parts import Picture, Query
from vitrine.client.reading import DEFAULT_MODEL
from vitrine.client.searching import OneSearch, SearchOptions
from vitrine.client.waiting import Tries
from vitrine.client.writing import ItemContent, NewItem

T = TypeVar("T")


class AsyncClient:
    """What `Client` is, for coroutines: the same arguments, methods, answers and errors.

    One client serves any number of tasks of one event loop. `timeout_s` holds to the letter here.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._endpoint = Endpoint(base_url, api_key, timeout_s, retries)
        self._http = httpx.AsyncClient(transport=transport, **self._endpoint.options())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._endpoint)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """See `Client.close`."""
        await self._http.aclose()

    async def search(self, collection: str, query: Query, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """See `Client.search`."""
        return await self._do(searching.search(collection, query, **options))

    async def search_image(
        self,
        collection: str,
        picture: bytes | Picture,
        *,
        query: Query | None = None,
        weight: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchAnswer:
        """See `Client.search_image`."""
        return await self._do(searching.search_image(collection, picture, query, weight, **options))

    async def pages(
        self, collection: str, query: Query, **options: Unpack[SearchOptions]
    ) -> AsyncIterator[SearchAnswer]:
        """See `Client.pages`."""
        while True:
            answer = await self.search(collection, query, **options)
            yield answer
            if answer.next_cursor is None:
                return
            options["cursor"] = answer.next_cursor

    async def walk(self, collection: str, query: Query, **options: Unpack[SearchOptions]) -> AsyncIterator[SearchHit]:
        """See `Client.walk`."""
        async for answer in self.pages(collection, query, **options):
            for hit in answer.hits:
                yield hit

    async def multi_search(
        self, searches: Sequence[OneSearch], *, timeout_ms: int | None = None
    ) -> tuple[SearchAnswer | ApiError, ...]:
        """See `Client.multi_search`."""
        return await self._do(searching.multi_search(searches, timeout_ms))

    async def embed(
        self,
        inputs: str | bytes | Path | Sequence[str | bytes | Path],
        *,
        model: str = DEFAULT_MODEL,
        timeout_ms: int | None = None,
    ) -> Embeddings:
        """See `Client.embed`."""
        return await self._do(reading.embed(inputs, model, timeout_ms))

    async def item(self, collection: str, item_id: str) -> Item:
        """See `Client.item`."""
        return await self._do(reading.item(collection, item_id))

    async def put_item(
        self, collection: str, item_id: str, *, timeout_ms: int | None = None, **content: Unpack[ItemContent]
    ) -> StoredItem:
        """See `Client.put_item`."""
        return await self._do(writing.put_item(collection, item_id, timeout_ms, **content))

    async def put_items(
        self, collection: str, items: Sequence[NewItem], *, timeout_ms: int | None = None
    ) -> BulkWritten:
        """See `Client.put_items`."""
        return await self._do(writing.put_items(collection, items, timeout_ms))

    async def delete_item(self, collection: str, item_id: str, *, timeout_ms: int | None = None) -> bool:
        """See `Client.delete_item`."""
        return await self._do(writing.delete_item(collection, item_id, timeout_ms))

    async def delete_items(self, collection: str, ids: Sequence[str], *, timeout_ms: int | None = None) -> BulkDeleted:
        """See `Client.delete_items`."""
        return await self._do(writing.delete_items(collection, ids, timeout_ms))

    async def collections(self) -> tuple[Collection, ...]:
        """See `Client.collections`."""
        return await self._do(reading.collections())

    async def collection(self, name: str) -> Collection:
        """See `Client.collection`."""
        return await self._do(reading.collection(name))

    async def load(self, name: str, *, timeout_ms: int | None = None) -> LoadState:
        """See `Client.load`."""
        return await self._do(writing.load(name, timeout_ms))

    async def release(self, name: str) -> LoadState:
        """See `Client.release`."""
        return await self._do(writing.release(name))

    async def limits(self) -> Mapping[str, Limit]:
        """See `Client.limits`."""
        return await self._do(reading.limits())

    async def ready(self) -> Readiness:
        """See `Client.ready`."""
        return await self._do(reading.ready())

    async def picture(self, image_url: str) -> bytes:
        """See `Client.picture`."""
        return await self._do(reading.picture(image_url))

    async def _do(self, call: Call[T]) -> T:
        tries = self._endpoint.tries(call)
        pause: float | None
        while True:
            try:
                received = await self._receive(call, tries)
            except httpx.HTTPError as error:
                pause = tries.pause_after_failure(error, self._endpoint.server_of(call))
            else:
                pause = tries.pause_after_answer(received.status, received.headers)
                if pause is None:
                    return call.read(received)
            await asyncio.sleep(pause)

    async def _receive(self, call: Call[T], tries: Tries) -> Received:
        try:
            async with asyncio.timeout(tries.remaining()):
                response = await self._http.send(self._endpoint.request(self._http, call, tries), stream=True)
                async with aclosing(response):
                    inflow = Inflow(response, tries)
                    async for chunk in response.aiter_bytes():
                        inflow.add(chunk)
                return inflow.received()
        except TimeoutError as error:
            raise httpx.ReadTimeout("") from error
