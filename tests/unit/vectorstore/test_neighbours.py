from pathlib import Path
from typing import Any

import numpy as np

from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldValue, Hit
from vitrine.vectorstore.collection import EMBEDDING, IMAGE_PATH, TITLE
from vitrine.vectorstore.columns import columns_of
from vitrine.vectorstore.neighbours import Neighbours

UNIT = np.eye(4, dtype=np.float32)
SCORES = [0.5, 0.5, 0.75, 0.25]
VALUES: list[dict[str, FieldValue]] = [
    {"colour": "red", "stock": 0, "price": 0.0, "sale": False, "detail": "x"},
    {},
    {"stock": 7, "sale": True},
    {"colour": "blue"},
]


def items() -> list[EmbeddedItem]:
    ids = ["b", "a", "c", "d"]
    return [
        EmbeddedItem(CatalogueItem(item_id, Path("x"), f"{item_id}.jpg", item_id.upper(), "g", values), UNIT[row])
        for row, (item_id, values) in enumerate(zip(ids, VALUES, strict=True))
    ]


def columns(fields: tuple[FieldSpec, ...], *left_out: str) -> dict[str, Any]:
    made = {column.field_name: column for column in columns_of(items(), fields, 4)}
    return {name: column for name, column in made.items() if name not in left_out}


def neighbours(fields: tuple[FieldSpec, ...], *left_out: str) -> Neighbours:
    return Neighbours(["b", "a", "c", "d"], SCORES, range(4), columns(fields, *left_out), fields)


def test_rows_are_best_first_and_equal_scores_in_the_order_of_their_ids(fields: tuple[FieldSpec, ...]) -> None:
    found = neighbours(fields)
    assert found.ids == ["c", "a", "b", "d"]
    assert found.scores == [0.75, 0.5, 0.5, 0.25]
    assert found.stored("colour") == ["", "", "red", "blue"]


def test_a_hit_has_the_values_that_its_item_has_and_their_types(fields: tuple[FieldSpec, ...]) -> None:
    hits = neighbours(fields, EMBEDDING).hits([2, 0, 1])
    assert hits == [
        Hit("b", 0.5, "B", "g", "b.jpg", VALUES[0]),
        Hit("c", 0.75, "C", "g", "c.jpg", VALUES[2]),
        Hit("a", 0.5, "A", "g", "a.jpg", {}),
    ]
    assert type(hits[0].fields["sale"]) is bool


def test_a_hit_has_its_own_vector_where_vectors_came(fields: tuple[FieldSpec, ...]) -> None:
    (hit,) = neighbours(fields).hits([2])
    assert hit.vector is not None
    np.testing.assert_array_equal(hit.vector, UNIT[0])


def test_neighbours_without_titles_are_not_described(fields: tuple[FieldSpec, ...]) -> None:
    assert neighbours(fields).described
    assert not neighbours(fields, TITLE, IMAGE_PATH).described


def test_only_the_positions_of_one_vector_are_read(fields: tuple[FieldSpec, ...]) -> None:
    found = Neighbours(["b", "a", "c", "d"], SCORES, range(1, 3), columns(fields), fields)
    assert found.ids == ["c", "a"]
    assert [hit.title for hit in found.hits(range(len(found)))] == ["C", "A"]
