"""Every kind of index that a server has: built, filled, searched, and compared with the exact neighbours."""

import asyncio

import numpy as np

from tests.integration.vectorstore.conftest import drop, make_item, make_spec, soon, unit_vectors
from tests.integration.vectorstore.servers import BUILDABLE, Server
from vitrine.domain import Deadline
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

VECTORS = unit_vectors(1_200)  # over the 1,024 from which on Milvus builds an index
QUERIES = unit_vectors(20, seed=1)
LIMIT = 10
LEAST_RECALL = 0.9
BUILD_S = 180.0  # a few seconds on a quiet machine


async def test_every_kind_of_index_finds_nearly_all_of_the_true_neighbours(
    connection: MilvusConnection, admin: CollectionAdmin, server: Server
) -> None:
    indexes = BUILDABLE[server]
    # At once: each waits some ten seconds for Milvus to seal, index and load its rows.
    recalls = await asyncio.gather(*(recall_of(index, connection, admin) for index in indexes))
    poor = {index.index_type: found for index, found in zip(indexes, recalls, strict=True) if found < LEAST_RECALL}
    assert poor == {}


async def recall_of(index: IndexParams, connection: MilvusConnection, admin: CollectionAdmin) -> float:
    """Share of the true nearest neighbours among those found."""
    info = await admin.create(make_spec(index=index))
    try:
        writer = CollectionWriter(connection, info)
        await writer.upsert([make_item(str(row), vector) for row, vector in enumerate(VECTORS)])
        await writer.flush()
        await admin.wait_index_built(info.name, deadline=Deadline.after(BUILD_S))
        await admin.release(info.name)
        await admin.load(info.name)  # served by the index, not row by row
        found = await VectorSearcher(connection).neighbours(
            info.name, QUERIES, limit=LIMIT, index=info.index, fields=(), described=False, deadline=soon()
        )
    finally:
        await drop(admin, info.name)
    exact = np.argsort(-(QUERIES @ VECTORS.T), axis=1)[:, :LIMIT]
    hits = sum(len({int(hit) for hit in one.ids} & set(true.tolist())) for one, true in zip(found, exact, strict=True))
    return hits / exact.size
