import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.vectorstore.index_reader import _searched_by_index

SEALED, GROWING = common_pb2.SegmentState.Sealed, common_pb2.SegmentState.Growing


@pytest.mark.parametrize(
    ("state", "index_id", "rows", "built", "searched"),
    [
        (SEALED, 7, 50_000, True, True),
        (SEALED, 0, 50_000, True, False),  # loaded before its index was built: compared row by row until loaded again
        (SEALED, 0, 1_023, True, True),  # too small for an index, on any server
        (SEALED, 0, 50_000, False, True),  # FLAT is never built
        (GROWING, 0, 500, True, False),
        (GROWING, 0, 500, False, False),
    ],
)
def test_a_segment_is_searched_by_its_index_once_a_query_node_holds_that(
    state: int, index_id: int, rows: int, built: bool, searched: bool
) -> None:
    segment = milvus_pb2.QuerySegmentInfo(state=state, indexID=index_id, num_rows=rows)
    assert _searched_by_index(segment, built=built) is searched
