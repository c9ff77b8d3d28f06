"""The client for ordinary code; `async_client` has its twin for coroutines."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
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


class Client:
    """Talks to one gateway over a pool of kept-alive connections. Close it, or use it as a context manager.

    One client serves any number of threads. A connection that fails, 429 and 503 are met with further tries, after the
    pause that the gateway asks for; every call of the API can be repeated without harm.

    Every method raises `ApiError` when the gateway refuses, and `GatewayUnreachable` when it does not answer in time.

    Args:
        base_url: such as http://127.0.0.1:8080
        api_key: sent to this gateway and to nobody else.
        timeout_s: longest a whole call may take on this side, further tries included. An answer that falls silent in
            its middle can take twice that.
        retries: most tries after the first; 0 for none.
        transport: replaces the network, for tests or for TLS of your own.

    Raises:
        InvalidInput: an argument cannot be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        retries: int = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._endpoint = Endpoint(base_url, api_key, timeout_s, retries)
        self._http = httpx.Client(transport=transport, **self._endpoint.options())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._endpoint)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def search(self, collection: str, query: Query, **options: Unpack[SearchOptions]) -> SearchAnswer:
        """Searches a collection or alias.

        Args:
            query: a text, a part such as `image(Path("shirt.jpg"))`, or several of either.
            options: see `SearchOptions`.
        """
        return self._do(searching.search(collection, query, **options))

    def search_image(
        self,
        collection: str,
        picture: bytes | Picture,
        *,
        query: Query | None = None,
        weight: float | None = None,
        **options: Unpack[SearchOptions],
    ) -> SearchAnswer:
        """Searches by a picture, which is uploaded as it is.

        Args:
            picture: its data, or the path of its file.
            query: further parts.
            weight: the picture's share.
            options: see `SearchOptions`.

        Raises:
            ImageMissing, ImageUnreadable
        """
        return self._do(searching.search_image(collection, picture, query, weight, **options))

    def pages(self, collection: str, query: Query, **options: Unpack[SearchOptions]) -> Iterator[SearchAnswer]:
        """One search's answers, page after page of `limit` hits, to its end or to the server's depth limit.

        No hit comes twice. Facets are counted for the first page.
        """
        while True:
            answer = self.search(collection, query, **options)
            yield answer
            if answer.next_cursor is None:
                return
            options["cursor"] = answer.next_cursor

    def walk(self, collection: str, query: Query, **options: Unpack[SearchOptions]) -> Iterator[SearchHit]:
        """The hits of `pages`, one after the other."""
        for answer in self.pages(collection, query, **options):
            yield from answer.hits

    def multi_search(
        self, searches: Sequence[OneSearch], *, timeout_ms: int | None = None
    ) -> tuple[SearchAnswer | ApiError, ...]:
        """Several searches in one request, their texts embedded together.

        Returns:
            For each search, in order, its answer or the error that it alone ended in.
        """
        return self._do(searching.multi_search(searches, timeout_ms))

    def embed(
        self,
        inputs: str | bytes | Path | Sequence[str | bytes | Path],
        *,
        model: str = DEFAULT_MODEL,
        timeout_ms: int | None = None,
    ) -> Embeddings:
        """The embeddings of texts (`str`) and of pictures (data, paths, or `data:` URLs as `str`).

        Args:
            model: refused unless it is the name or the fingerprint of the model that is served.
            timeout_ms: how long the server may take.

        Raises:
            ImageMissing, ImageUnreadable
        """
        return self._do(reading.embed(inputs, model, timeout_ms))

    def item(self, collection: str, item_id: str) -> Item:
        """One product."""
        return self._do(reading.item(collection, item_id))

    def put_item(
        self, collection: str, item_id: str, *, timeout_ms: int | None = None, **content: Unpack[ItemContent]
    ) -> StoredItem:
        """Stores a product in place of what its id had before; it is stored when this returns.

        Args:
            content: see `ItemContent`.
            timeout_ms: how long the server may take.

        Raises:
            ImageMissing, ImageUnreadable
        """
        return self._do(writing.put_item(collection, item_id, timeout_ms, **content))

    def put_items(self, collection: str, items: Sequence[NewItem], *, timeout_ms: int | None = None) -> BulkWritten:
        """Stores several products; those that cannot be stored are refused one by one, see `refused` of the answer.

        Raises:
            ImageMissing, ImageUnreadable: nothing was sent.
        """
        return self._do(writing.put_items(collection, items, timeout_ms))

    def delete_item(self, collection: str, item_id: str, *, timeout_ms: int | None = None) -> bool:
        """Deletes a product. Returns whether it was there (if a try was repeated, whether the last one found it)."""
        return self._do(writing.delete_item(collection, item_id, timeout_ms))

    def delete_items(self, collection: str, ids: Sequence[str], *, timeout_ms: int | None = None) -> BulkDeleted:
        """Deletes several products."""
        return self._do(writing.delete_items(collection, ids, timeout_ms))

    def collections(self) -> tuple[Collection, ...]:
        """All collections that the key may see."""
        return self._do(reading.collections())

    def collection(self, name: str) -> Collection:
        """The collection of a name, or behind an alias."""
        return self._do(reading.collection(name))

    def load(self, name: str, *, timeout_ms: int | None = None) -> LoadState:
        """Brings a collection into memory, by its own name; waits for that as long as the server may take.

        What takes longer goes on by itself, and a further call tells how far it is.
        """
        return self._do(writing.load(name, timeout_ms))

    def release(self, name: str) -> LoadState:
        """Takes a collection out of memory, by its own name; it cannot be searched then."""
        return self._do(writing.release(name))

    def limits(self) -> Mapping[str, Limit]:
        """Every limit of the server, by name."""
        return self._do(reading.limits())

    def ready(self) -> Readiness:
        """Whether a search of the default collection would work now. That it would not is an answer, and no error."""
        return self._do(reading.ready())

    def picture(self, image_url: str) -> bytes:
        """A hit's picture; `image_url` may be relative to the gateway."""
        return self._do(reading.picture(image_url))

    def _do(self, call: Call[T]) -> T:
        tries = self._endpoint.tries(call)
        pause: float | None
        while True:
            try:
                received = self._receive(call, tries)
            except httpx.HTTPError as error:
                pause = tries.pause_after_failure(error, self._endpoint.server_of(call))
            else:
                pause = tries.pause_after_answer(received.status, received.headers)
                if pause is None:
                    return call.read(received)
            time.sleep(pause)

    def _receive(self, call: Call[T], tries: Tries) -> Received:
        response = self._http.send(self._endpoint.request(self._http, call, tries), stream=True)
        with closing(response):
            inflow = Inflow(response, tries)
            for chunk in response.iter_bytes():
                inflow.add(chunk)
        return inflow.received()
