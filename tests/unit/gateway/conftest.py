"""The whole application without an engine: a searcher that answers from memory stands where Triton and Milvus would."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from tests.fixtures.logs import logged
from tests.unit.gateway.memory_shelf import CONTRACT, MemoryShelf
from vitrine.domain import Deadline, FieldSpec, FieldType, Hit, Vectors
from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.encoder import EncodedTexts
from vitrine.embedding.preprocess import prepare
from vitrine.embedding.tokenizer import check_query
from vitrine.errors import CollectionNotFound, ImageUnrecognised, VitrineError
from vitrine.gateway.app import create_app
from vitrine.gateway.dependencies import Services
from vitrine.gateway.health import Readiness
from vitrine.gateway.pictures import Pictures
from vitrine.search.request import Check, ImagePart, SearchRequest, SearchResult, TextPart
from vitrine.search.searcher import Searcher
from vitrine.settings import ImageSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import Stage, StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.filters import compile_filter
from vitrine.vectorstore.index_params import Hnsw

FIELDS = (FieldSpec("colour", FieldType.TEXT, facetable=True), FieldSpec("price", FieldType.NUMBER))
HITS = (
    Hit("0108775015", 0.8125, "Strap top", "0108775", "images/010/0108775015.jpg", {"colour": "red", "price": 9.5}),
    Hit("a/b c", 0.25, "Odd key", "", "images/a b.jpg", {"colour": "blue", "price": 1}),
)
COLLECTION = CollectionInfo(
    name="products_v1",
    dimension=4,
    rows=2,
    fields=FIELDS,
    index=Hnsw(),
    fingerprint="f" * 64,
    model="tiny",
    build_id="b",
    created_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    loaded=True,
    aliases=("products",),
)


class MemoryEncoder:
    """Stands in for `Encoder`: a text's vector points along one axis, by its length; a picture's along the last."""

    contract = SimpleNamespace(fingerprint="f" * 64, model="tiny", dimension=4, context_length=16)

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        with clock.stage(Stage.EMBED):
            for text in texts:
                check_query(text, 8 * 1024)
        words = [len(text.split()) + 2 for text in texts]
        vectors = np.eye(4, dtype=np.float32)[[len(text) % 3 for text in texts]]
        return EncodedTexts(vectors, tuple(count > 16 for count in words), tuple(min(count, 16) for count in words))

    async def encode_images(self, pictures: Sequence[bytes], deadline: Deadline, clock: StageClock) -> Vectors:
        with clock.stage(Stage.DECODE):
            for data in pictures:
                prepare(data, ImagePolicy(size=8), ImageSettings())
        return np.eye(4, dtype=np.float32)[[3 for _ in pictures]]


@dataclass
class MemorySearcher:
    """Stands in for `Searcher`: notes what it was asked, answers what it was told to."""

    hits: tuple[Hit, ...] = HITS
    more: dict[str, Any] = field(default_factory=dict)
    failure: Exception | None = None
    checks: tuple[Check, ...] = (Check("triton", None), Check("collection", None))
    before: Callable[[], Awaitable[None]] | None = None
    asked: list[SearchRequest] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    readiness_asked: int = 0
    collection: CollectionInfo | None = COLLECTION

    def __post_init__(self) -> None:
        self.encoder = MemoryEncoder()
        self.directory = self
        self.vectors = self

    async def search(self, request: SearchRequest, deadline: Deadline, clock: StageClock) -> SearchResult:
        self.asked.append(request)
        self.deadlines.append(deadline.remaining())
        for part in request.parts:
            if isinstance(part, TextPart):
                check_query(part.text, 8 * 1024)
            if isinstance(part, ImagePart) and not part.data:
                raise ImageUnrecognised("No bytes are no picture.")
        if request.filter is not None:
            compile_filter(request.filter, FIELDS)
        with clock.stage(Stage.EMBED):
            if self.before is not None:
                await self.before()
        if self.failure is not None:
            raise self.failure
        told = SearchResult(self.hits, "products_v1", "tiny", "f" * 64, ("query_truncated",), FIELDS)
        return replace(told, **self.more)

    async def search_many(
        self, requests: "Sequence[SearchRequest]", deadline: Deadline, clock: StageClock
    ) -> "list[SearchResult | VitrineError]":
        found: list[SearchResult | VitrineError] = []
        for request in requests:
            try:
                await self.resolve(request.collection, deadline)
                found.append(await self.search(request, deadline, clock))
            except VitrineError as error:
                found.append(error)
        return found

    async def check_readiness(self, collection: str, deadline: Deadline) -> tuple[Check, ...]:
        self.readiness_asked += 1
        if self.before is not None:
            await self.before()
        if self.failure is not None and not isinstance(self.failure, VitrineError):
            raise self.failure
        return self.checks

    async def resolve(self, name: str, deadline: Deadline) -> CollectionInfo:
        if self.collection is None or name not in {"products", "products_v1"}:
            raise CollectionNotFound(f"There is no collection {name!r}.", name=name)
        return self.collection

    def invalidate(self, name: str | None = None) -> None:
        """As a directory."""

    async def items_of(
        self, collection: str, ids: "list[str]", deadline: Deadline, *, fields: tuple[FieldSpec, ...]
    ) -> Mapping[str, Hit]:
        return {hit.id: hit for hit in self.hits if hit.id in ids}


@dataclass
class Api:
    """One application, its stand-in and a client of it."""

    app: FastAPI
    searcher: MemorySearcher
    shelf: MemoryShelf
    client: httpx.AsyncClient
    settings: Settings
    services: Services

    @property
    def metrics(self) -> GatewayMetrics:
        return self.services.metrics

    async def search(self, body: Any, alias: str = "products", **headers: str) -> httpx.Response:
        return await self.client.post(f"/v1/collections/{alias}/search", json=body, headers=headers)

    @asynccontextmanager
    async def searching(self, **headers: str) -> AsyncIterator[None]:
        """While one search is under way, and holds its permit; it ends well when the block does."""
        inside, leave = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            inside.set()
            await leave.wait()

        self.searcher.before = wait
        first = asyncio.create_task(self.search({"query": "dress", "timeout_ms": 10_000}, **headers))
        await inside.wait()
        self.searcher.before = None
        try:
            yield
        finally:
            leave.set()
            assert (await first).status_code == 200


OpenApi = Callable[..., Awaitable[Api]]


@pytest.fixture
async def open_api() -> AsyncIterator[OpenApi]:
    """Opens an application for given gateway settings: `await open_api(max_in_flight=2)`."""
    clients: list[httpx.AsyncClient] = []

    async def open_with(settings: Settings | None = None, **gateway: Any) -> Api:
        settings = settings or Settings.model_validate({"gateway": gateway})
        app = create_app(settings)
        searcher = MemorySearcher()
        metrics = cast(
            "GatewayMetrics", next(m.kwargs["metrics"] for m in app.user_middleware if "metrics" in m.kwargs)
        )
        real = cast("Searcher", searcher)
        shelf = MemoryShelf(replace(COLLECTION, fingerprint=CONTRACT.fingerprint))
        pictures = Pictures(settings.images)
        services = Services(
            settings,
            real,
            cast("CollectionAdmin", shelf),
            Readiness(real, metrics, settings.gateway),
            metrics,
            pictures,
            shelf.store(settings, pictures, metrics),
        )
        app.state.services = services
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=True), base_url="http://localhost"
        )
        clients.append(client)
        return Api(app, searcher, shelf, client, settings, services)

    yield open_with
    await asyncio.gather(*(client.aclose() for client in clients))


@pytest.fixture
async def api(open_api: OpenApi, tmp_path: Path) -> Api:
    """An application with the default limits and a folder of pictures."""
    return await open_api(media_root=tmp_path)


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything logged meanwhile, as it would be written."""
    with logged("INFO") as stream:
        yield stream


@pytest.fixture
def unit_vector() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.array([1, 0, 0, 0], np.float32)
