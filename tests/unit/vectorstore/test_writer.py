import dataclasses
from pathlib import Path
from unittest.mock import sentinel

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType, FieldValue
from vitrine.errors import InvalidInput
from vitrine.vectorstore import writer
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.columns import columns_of
from vitrine.vectorstore.writer import MAX_REQUEST_BYTES, CollectionWriter, _batches, estimate_bytes

FIELDS = (
    FieldSpec("text", FieldType.TEXT, 1_024),
    FieldSpec("number", FieldType.NUMBER),
    FieldSpec("count", FieldType.INTEGER),
)


def item(item_id: str, text: str = "", dimension: int = 4) -> EmbeddedItem:
    vector = np.zeros(dimension, np.float32)
    vector[0] = 1.0
    fields: dict[str, FieldValue] = {"text": text, "number": 1.0, "count": 2**62}
    return EmbeddedItem(CatalogueItem(item_id, Path("x"), f"images/{item_id}.jpg", text[:50], "g", fields), vector)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=100), min_size=1, max_size=20))
def test_the_estimate_is_never_less_than_the_message(texts: list[str]) -> None:
    items = [item(str(row), text) for row, text in enumerate(texts)]
    message = sum(column.ByteSize() for column in columns_of(items, FIELDS, 4))
    names_of_columns = 40 * (5 + len(FIELDS))
    assert message <= sum(map(estimate_bytes, items)) + names_of_columns


def test_batches_keep_order_and_stay_below_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MAX_REQUEST_ROWS", 100)
    small, large = [item(str(n)) for n in range(250)], [item(f"l{n}", dimension=1_000_000) for n in range(9)]
    batches = list(_batches(small + large))
    assert [embedded for batch in batches for embedded in batch] == small + large
    assert [len(batch) for batch in batches[:2]] == [100, 100]
    assert all(sum(map(estimate_bytes, batch)) <= MAX_REQUEST_BYTES for batch in batches)
    assert list(_batches([])) == []


def test_an_item_larger_than_a_message_is_still_sent_alone() -> None:
    huge = item("huge", dimension=MAX_REQUEST_BYTES // 4 + 1)
    assert [len(batch) for batch in _batches([item("a"), huge, item("b")])] == [1, 1, 1]


def test_a_half_made_collection_is_not_written_into(info: CollectionInfo) -> None:
    with pytest.raises(InvalidInput, match="half-made"):
        CollectionWriter(sentinel.connection, dataclasses.replace(info, build_id=""))
