"""Whether, and how often, a collection holds one product: Milvus does not enforce that ids are unique."""

from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.domain import Deadline
from vitrine.vectorstore.columns import values_in
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.filters import any_id_of

_COUNT = "count(*)"


async def rows_of(connection: MilvusConnection, collection: str, product_id: str, deadline: Deadline) -> int:
    """Rows of one id, counted with strong consistency: 0 or 1 where all is well.

    A look-up of the id would not do: of several rows it returns one.

    Args:
        connection: to the Milvus that has it.
        collection: its own name.
        product_id: whose.
        deadline: for the count.

    Raises:
        CollectionNotFound, CollectionNotReady, VectorStoreUnavailable, DeadlineExceeded: see `vendor_errors`.
    """
    request = milvus_pb2.QueryRequest(
        collection_name=collection,
        expr=any_id_of([product_id]),
        output_fields=[_COUNT],
        consistency_level=common_pb2.ConsistencyLevel.Strong,
    )
    seconds = deadline.within(connection.settings.search_timeout_s)
    answer = await connection.call(
        "Query", request, seconds=seconds, doing="count rows of an id", collection=collection
    )
    return int(next(values_in(column)[0] for column in answer.fields_data if column.field_name == _COUNT))
