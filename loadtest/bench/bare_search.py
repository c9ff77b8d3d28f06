"""The gateway's search of Milvus without the gateway, by pymilvus's own client."""

from collections.abc import Awaitable, Callable

from pymilvus import AsyncMilvusClient

from vitrine.domain import Vectors
from vitrine.vectorstore.collection import EMBEDDING, GROUP, ID, IMAGE_PATH, TITLE, CollectionInfo

CALL_TIMEOUT_S = 30.0


def bare_search(
    client: AsyncMilvusClient, collection: CollectionInfo, limit: int
) -> Callable[[Vectors], Awaitable[object]]:
    """A search for a vector, float32 [dim], with the limit, index settings and fields of the gateway's."""
    fields = [ID, TITLE, GROUP, IMAGE_PATH, *(field.name for field in collection.fields)]
    params = {"metric_type": "IP", "params": collection.index.search_params({}, limit=limit)}

    async def search(vector: Vectors) -> object:
        return await client.search(
            collection.name,
            data=[vector.tolist()],
            anns_field=EMBEDDING,
            limit=limit,
            output_fields=fields,
            search_params=params,
            consistency_level="Bounded",
            timeout=CALL_TIMEOUT_S,
        )

    return search
