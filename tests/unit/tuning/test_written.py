import pytest

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.written import parse_written, write_index
from vitrine.vectorstore.index_params import INDEX_KINDS, Flat, Hnsw, IndexParams, IvfPq


def test_an_index_is_written_in_one_word() -> None:
    assert parse_written("flat") == Flat()
    assert parse_written("hnsw:M=32,ef=100") == Hnsw(M=32, ef=100)
    assert parse_written("ivf_pq: m = 8 , nprobe=20") == IvfPq(m=8, nprobe=20)


@pytest.mark.parametrize("kind", INDEX_KINDS.values())
def test_what_is_written_can_be_read(kind: type[IndexParams]) -> None:
    assert parse_written(write_index(kind())) == kind()


@pytest.mark.parametrize("text", ["hnsw:M", "hnsw:M=", "hnsw:=3", "hnsw:M=3,,ef=2", "hnsw:M=16,", "", "nothing"])
def test_what_has_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_written(text)


def test_numbers_are_within_milvus_bounds() -> None:
    with pytest.raises(LimitExceeded):
        parse_written("hnsw:M=2000")
