from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymilvus.grpc_gen import schema_pb2

from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType, FieldValue, Vectors
from vitrine.errors import InvalidInput
from vitrine.vectorstore.columns import _packed, can_be_id, columns_of, cut, loaded, values_in, vectors_in

UNIT = np.array([0.5, 0.5, 0.5, 0.5], np.float32)


def item(
    item_id: str = "1",
    vector: Vectors = UNIT,
    *,
    title: str = "",
    path: str = "",
    group: str = "",
    **fields: FieldValue,
) -> EmbeddedItem:
    return EmbeddedItem(CatalogueItem(item_id, Path("x.jpg"), path, title, group, fields), vector)


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_is_the_longest_beginning_that_fits(text: str, width: int) -> None:
    kept = cut(text, width)
    assert text.startswith(kept)
    assert len(kept.encode()) <= width
    assert kept == text or len(text[: len(kept) + 1].encode()) > width


VALUES: dict[FieldType, st.SearchStrategy[FieldValue]] = {
    FieldType.TEXT: st.text(min_size=1, max_size=16),
    FieldType.INTEGER: st.integers(-(2**63 - 2), 2**63 - 1),
    FieldType.NUMBER: st.floats(allow_nan=False, allow_infinity=False, min_value=-1e308),
    FieldType.FLAG: st.booleans(),
}


@pytest.mark.parametrize("kind", FieldType)
@given(data=st.data())
def test_values_come_back_as_they_went_and_missing_ones_as_none(kind: FieldType, data: st.DataObject) -> None:
    field = FieldSpec("f", kind, max_bytes=64)
    value: FieldValue = data.draw(VALUES[kind])
    column = columns_of([item("1", f=value), item("2")], [field], 4)[-1]
    back = [loaded(field, stored) for stored in values_in(column)]
    assert back == [value, None]
    assert type(back[0]) is type(value)


def test_a_whole_number_fits_a_field_of_numbers() -> None:
    column = columns_of([item(f=5)], [FieldSpec("f", FieldType.NUMBER)], 4)[-1]
    assert values_in(column) == [5.0]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (FieldType.TEXT, 5),
        (FieldType.TEXT, True),
        (FieldType.INTEGER, 5.0),
        (FieldType.INTEGER, True),
        (FieldType.INTEGER, "5"),
        (FieldType.INTEGER, 2**63),
        (FieldType.INTEGER, -(2**63)),
        (FieldType.NUMBER, float("nan")),
        (FieldType.NUMBER, float("inf")),
        (FieldType.NUMBER, "5"),
        (FieldType.FLAG, 1),
        (FieldType.FLAG, "true"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_items_id(kind: FieldType, value: FieldValue) -> None:
    with pytest.raises(InvalidInput) as caught:
        columns_of([item("0108", f=value)], [FieldSpec("f", kind)], 4)
    assert caught.value.details == {"id": "0108", "field": "f"}


def test_vectors_keep_every_bit() -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    column = columns_of([item(str(row), vector) for row, vector in enumerate(vectors)], [], 7)[1]
    np.testing.assert_array_equal(vectors_in(column), vectors)


@given(st.integers(1, 70), st.integers(1, 700))
def test_vectors_are_packed_as_protobuf_would(rows: int, dimension: int) -> None:
    matrix = np.random.default_rng(rows).normal(size=(rows, dimension)).astype("<f4")
    usual = schema_pb2.FloatArray(data=matrix.ravel().tolist())
    assert _packed(matrix) == usual
    column = schema_pb2.FieldData(vectors=schema_pb2.VectorField(dim=dimension, float_vector=usual))
    np.testing.assert_array_equal(vectors_in(column), matrix)


@pytest.mark.parametrize(
    "vector",
    [
        UNIT[:3],
        np.stack([UNIT, UNIT]),
        UNIT * 1.01,
        UNIT * 0,
        np.array([np.nan, 0.5, 0.5, 0.5], np.float32),
        np.array([np.inf, 0.5, 0.5, 0.5], np.float32),
    ],
)
def test_a_vector_that_would_give_wrong_neighbours_is_refused(vector: Vectors) -> None:
    with pytest.raises(InvalidInput) as caught:
        columns_of([item("good"), item("bad", vector)], [], 4)
    assert caught.value.details["id"] == "bad"


def test_titles_are_cut_but_ids_groups_and_paths_are_refused() -> None:
    long = "é" * 2_000
    title = columns_of([item(title=long)], [], 4)[2]
    assert values_in(title) == ["é" * 256]
    wrong: list[dict[str, Any]] = [{"item_id": "x" * 129}, {"path": long}, {"group": long}, {"item_id": ""}]
    for what in wrong:
        with pytest.raises(InvalidInput):
            columns_of([item(**what)], [], 4)


@pytest.mark.parametrize("what", [{"item_id": "\ud800"}, {"title": "\ud800"}, {"path": "\udfff"}, {"f": "a\ud800"}])
def test_text_that_is_no_unicode_is_refused(what: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no Unicode"):
        columns_of([item(**what)], [FieldSpec("f", FieldType.TEXT)], 4)


def test_which_texts_can_be_ids() -> None:
    assert can_be_id("0108775015")
    assert can_be_id("é" * 64)
    assert not any(map(can_be_id, ["", "é" * 65, "\ud800"]))
