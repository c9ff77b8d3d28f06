"""An index that is built once over merged segments, as it is after Milvus's own compaction has come to an end."""

import asyncio

from pymilvus.grpc_gen import milvus_pb2

from vitrine.domain import Deadline
from vitrine.vectorstore.collection import EMBEDDING, METRIC
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat, IndexParams

LONGEST_S = 6 * 3600.0
SETTLED_S = 20.0


async def merge_segments(connection: MilvusConnection, name: str, settled_s: float = SETTLED_S) -> None:
    """Has Milvus merge segments until there are no fewer than `settled_s` before."""
    deadline = Deadline.after(LONGEST_S)
    segments = -1
    while True:
        await connection.client.compact(name, timeout=deadline.remaining())
        await asyncio.sleep(settled_s)
        request = milvus_pb2.GetPersistentSegmentInfoRequest(collectionName=name)
        answer = await connection.call(
            "GetPersistentSegmentInfo", request, seconds=deadline.remaining(), doing="list segments", collection=name
        )
        if len(answer.infos) == segments:
            return
        segments = len(answer.infos)


async def replace_index(connection: MilvusConnection, name: str, index: IndexParams) -> None:
    """Drops the index of a collection that is not loaded, and builds another; FLAT needs no building."""
    if index.index_type == Flat().index_type:
        return
    params = connection.client.prepare_index_params()
    params.add_index(EMBEDDING, index.index_type, EMBEDDING, metric_type=METRIC, params=dict(index.build_params()))
    await connection.client.drop_index(name, EMBEDDING, timeout=60)
    await connection.client.create_index(name, params, timeout=LONGEST_S)  # waits for the index too
