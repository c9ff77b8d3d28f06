"""Walks by cursor over HTTP, through the Python client, while the collection is being written to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.serving import RunningGateway
from tests.fixtures.stack import RunningStack
from vitrine import AsyncClient
from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.writer import CollectionWriter

NAME = "walked_v1"
ROWS = 900
PER_GROUP = 3
WALK = 500
QUERY = "a walk"


def _rows(numbers: range, seed: int) -> list[EmbeddedItem]:
    vectors = np.random.default_rng(seed).normal(size=(len(numbers), 512)).astype(np.float32)
    units: Vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
    return [
        EmbeddedItem(
            CatalogueItem(f"{n:05d}", Path("x"), "", f"Product {n}", f"g{n // PER_GROUP}", {"parity": n % 2}), vector
        )
        for n, vector in zip(numbers, units, strict=True)
    ]


@pytest.fixture
async def writer(stack: RunningStack) -> AsyncIterator[CollectionWriter]:
    """Writes into a collection of its own, freshly filled."""
    contract = ModelContract.load(stack.settings.model.repository)
    async with await MilvusConnection.open(stack.settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        await admin.drop(NAME)
        info = await admin.create(
            CollectionSpec(
                name=NAME,
                dimension=contract.dimension,
                fields=(FieldSpec("parity", FieldType.INTEGER, facetable=True),),
                index=Hnsw(),
                fingerprint=contract.fingerprint,
                model=contract.model,
            )
        )
        writer = CollectionWriter(connection, info)
        await writer.upsert(_rows(range(ROWS), seed=1))
        await writer.flush()
        yield writer
        await admin.drop(NAME)


async def _settled(client: AsyncClient) -> None:
    """Until a search sees all rows."""
    async with asyncio.timeout(30):
        while len([hit async for hit in client.walk(NAME, QUERY, limit=250)]) < ROWS:
            pass


async def test_five_hundred_results_come_once_each_while_products_are_written(
    gateway: RunningGateway, writer: CollectionWriter
) -> None:
    written, done = 0, asyncio.Event()

    async def write_on() -> None:
        nonlocal written
        seed = 100
        while not done.is_set():
            seed += 1
            start = seed * 37 % ROWS
            await writer.upsert(
                [*_rows(range(start, start + 40), seed), *_rows(range(ROWS + seed, ROWS + seed + 5), seed)]
            )
            written += 45
            await asyncio.sleep(0)

    async with AsyncClient(gateway.url) as client:
        await _settled(client)
        writing = asyncio.create_task(write_on())
        walked: list[str] = []
        pages = 0
        async for page in client.pages(NAME, QUERY, limit=20):
            pages += 1
            walked.extend(hit.id for hit in page.hits)
            if len(walked) >= WALK:
                break
        done.set()
        await writing
    assert len(walked) == WALK
    assert pages == WALK // 20
    assert len(set(walked)) == WALK
    assert written >= 45


async def test_a_walk_through_a_quiet_collection_is_the_ranking_of_one_deep_search(
    gateway: RunningGateway, writer: CollectionWriter
) -> None:
    async with AsyncClient(gateway.url) as client:
        await _settled(client)
        whole = [hit.id for hit in (await client.search(NAME, QUERY, limit=250, params={"ef": 1_000})).hits]
        walked = [hit.id async for hit in client.walk(NAME, QUERY, limit=50, params={"ef": 1_000})]
    assert walked[:250] == whole
    assert len(walked) == len(set(walked)) == ROWS


async def test_grouped_pages_give_each_group_once_with_its_siblings(
    gateway: RunningGateway, writer: CollectionWriter
) -> None:
    async with AsyncClient(gateway.url) as client:
        await _settled(client)
        hits = [hit async for hit in client.walk(NAME, QUERY, limit=70, group_by="group")]
        odd = [
            hit
            async for hit in client.walk(NAME, QUERY, limit=70, group_by="group", filter="parity:1 AND NOT group:g1")
        ]
    assert len(hits) == ROWS // PER_GROUP
    assert {hit.group for hit in hits} == {f"g{n}" for n in range(ROWS // PER_GROUP)}
    assert {hit.siblings for hit in hits} == {PER_GROUP - 1}
    assert len(odd) == len({hit.group for hit in odd}) == ROWS // PER_GROUP - 1
    # Of three neighbours in number, one or two are odd.
    assert {hit.siblings for hit in odd} == {0, 1}
