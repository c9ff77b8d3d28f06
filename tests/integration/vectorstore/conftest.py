"""Collections on the real Milvus and on milvus-lite (see servers.py). A module makes its own: that takes seconds."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fixtures.milvus_lite import milvus_lite_server  # noqa: F401 - pytest finds fixtures by their names here
from tests.fixtures.stack import RunningService
from tests.integration.vectorstore.servers import Server, servers_for
from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, FieldSpec, FieldType, FieldValue, Vectors
from vitrine.settings import MilvusSettings
from vitrine.vectorstore import connection as vectorstore_connection
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat, Hnsw, IndexParams
from vitrine.vectorstore.searcher import VectorSearcher

FIELDS = (
    FieldSpec("colour", FieldType.TEXT, max_bytes=1_024, facetable=True),
    FieldSpec("stock", FieldType.INTEGER),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("sale", FieldType.FLAG),
)
DIMENSION = 16

MakeSpec = Callable[..., CollectionSpec]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*parts): what the server of a test must have")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that reaches for a server runs on each that has what it needs."""
    if "server" in metafunc.fixturenames:
        metafunc.parametrize("server", servers_for(metafunc.definition), indirect=True, scope="session", ids=str)


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


@pytest.fixture(scope="session")
def running_server(server: Server, request: pytest.FixtureRequest) -> RunningService:
    """The server's process, ready."""
    running: RunningService = request.getfixturevalue(
        "milvus_lite_server" if server is Server.LITE else "milvus_server"
    )
    return running


@pytest.fixture(scope="session")
def milvus_settings(running_server: RunningService) -> MilvusSettings:
    return running_server.settings.milvus


@pytest.fixture(autouse=True)
def no_pings_to_lite(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """milvus-lite, unlike Milvus, hangs up on a client that pings while it asks nothing: after the third one, half a
    minute, and whatever is asked in that moment fails with "Too many pings"."""
    if "server" in request.fixturenames and request.getfixturevalue("server") is Server.LITE:
        options = vectorstore_connection._channel_options
        never = {"grpc.keepalive_time_ms": 2**31 - 1}
        monkeypatch.setattr(vectorstore_connection, "_channel_options", lambda settings: options(settings) | never)


@pytest.fixture
async def connection(milvus_settings: MilvusSettings) -> AsyncIterator[MilvusConnection]:
    async with await MilvusConnection.open(milvus_settings) as connection:
        yield connection


@pytest.fixture
def admin(connection: MilvusConnection) -> CollectionAdmin:
    return CollectionAdmin(connection)


@pytest.fixture
def searcher(connection: MilvusConnection) -> VectorSearcher:
    return VectorSearcher(connection)


def make_spec(name: str = "", index: IndexParams | None = None) -> CollectionSpec:
    return CollectionSpec(
        name or f"test_{secrets.token_hex(6)}", DIMENSION, FIELDS, index or Hnsw(), "f" * 64, "test model"
    )


def make_item(item_id: str, vector: Vectors, *, title: str = "", **fields: FieldValue) -> EmbeddedItem:
    return EmbeddedItem(CatalogueItem(item_id, Path("x"), f"images/{item_id[:9]}.jpg", title, "g", fields), vector)


def unit_vectors(count: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def soon() -> Deadline:
    return Deadline.after(30)


async def drop(admin: CollectionAdmin, name: str) -> None:
    """Removes a collection with the aliases that point at it."""
    try:
        info = await admin.describe(name)
    except Exception:  # noqa: BLE001 - gone, or not of our making
        await admin.drop(name)
        return
    for alias in info.aliases:
        await admin.remove_alias(alias)
    await admin.drop(name)


def in_a_loop(settings: MilvusSettings, work: Callable[[CollectionAdmin], Awaitable[Any]]) -> Any:
    """Runs `work` in an event loop of its own: fixtures of a module outlive those of its tests."""

    async def run() -> Any:
        async with await MilvusConnection.open(settings) as connection:
            return await work(CollectionAdmin(connection))

    return asyncio.run(run())


@pytest.fixture(scope="module")
def empty_collection(milvus_settings: MilvusSettings) -> Iterator[CollectionInfo]:
    """A collection with an exact index, for the tests of one module to write into."""
    info: CollectionInfo = in_a_loop(milvus_settings, lambda admin: admin.create(make_spec(index=Flat())))
    yield info
    in_a_loop(milvus_settings, lambda admin: drop(admin, info.name))
