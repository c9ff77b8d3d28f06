import numpy as np
from pymilvus.grpc_gen import schema_pb2

from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.search_message import _placeholders, by_vector


def test_an_answer_is_cut_by_vector_and_each_part_is_in_order() -> None:
    results = schema_pb2.SearchResultData(
        ids=schema_pb2.IDs(str_id=schema_pb2.StringArray(data=["c", "b", "a", "z", "y"])),
        scores=[0.875, 0.5, 0.5, 1.0000001, 0.75],
        topks=[3, 2],
    )
    first, second, third = (Neighbours(*found, ()) for found in by_vector(results, 3))
    assert (first.ids, first.scores) == (["c", "a", "b"], [0.875, 0.5, 0.5])
    assert (second.ids, second.scores) == (["z", "y"], [1.0, 0.75])
    assert len(third) == 0


def test_an_empty_collection_gives_every_vector_an_empty_answer() -> None:
    found = [Neighbours(*one, ()) for one in by_vector(schema_pb2.SearchResultData(), 3)]
    assert [len(neighbours) for neighbours in found] == [0, 0, 0]
    assert found[0].described
    assert found[0].stored("colour") == found[0].hits([]) == []


def test_vectors_of_any_memory_layout_are_sent_row_by_row() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert _placeholders(vectors) == _placeholders(np.asfortranarray(vectors))
    assert _placeholders(vectors[::2]) == _placeholders(vectors[::2].copy())
    assert vectors[1].tobytes() in _placeholders(vectors)
