import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from vitrine.domain import FieldSpec, FieldType
from vitrine.errors import CollectionNotFound, InvalidInput, LimitExceeded
from vitrine.vectorstore.collection import (
    CollectionSpec,
    build_schema,
    info_from,
    properties_of,
    valid_collection_name,
)
from vitrine.vectorstore.index_params import Hnsw, IvfPq
from vitrine.vectorstore.lineage import Lineage

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def spec(fields: tuple[FieldSpec, ...]) -> CollectionSpec:
    return CollectionSpec("products_v1", 512, fields, Hnsw(M=32), "f" * 64, "openai/clip", "product_code")


def described(spec: CollectionSpec, **properties: str) -> dict[str, Any]:
    """The description Milvus gives of a collection made from `spec`."""
    return {
        "collection_name": spec.name,
        "aliases": ["products"],
        "fields": build_schema(spec).to_dict()["fields"],
        "properties": properties_of(spec, attempt="a1", created_at=NOW) | properties,
    }


def test_a_collection_is_described_as_it_was_specified(spec: CollectionSpec) -> None:
    info = info_from(described(spec, vitrine_build_id="b1"), rows=7, loaded=True)
    for name in ("name", "dimension", "fields", "index", "fingerprint", "model", "group_name"):
        assert getattr(info, name) == getattr(spec, name)
    assert (info.rows, info.loaded, info.aliases, info.build_id) == (7, True, ("products",), "b1")
    assert info.created_at == NOW
    assert info.complete


def test_a_collection_made_before_group_names_has_none(spec: CollectionSpec) -> None:
    description = described(spec, vitrine_build_id="b1")
    del description["properties"]["vitrine_group_name"]
    assert info_from(description, rows=0, loaded=True).group_name == ""


def test_the_name_of_a_group_column_is_limited(spec: CollectionSpec) -> None:
    assert dataclasses.replace(spec, group_name="Größe" * 36).group_name
    with pytest.raises(LimitExceeded):
        dataclasses.replace(spec, group_name="x" * 257)


def test_a_collection_without_build_id_is_half_made(spec: CollectionSpec) -> None:
    assert not info_from(described(spec), rows=0, loaded=False).complete


@pytest.mark.parametrize(
    ("source", "lineage", "awaits"),
    [
        ("", Lineage("products"), False),
        ("d" * 64, Lineage("products"), True),
        ("d" * 64, Lineage("products", finished_at=NOW, rows=3), False),
        ("d" * 64, Lineage("products", rows=3), False),  # finished once, and gone over again by a run since
    ],
)
def test_a_collection_awaits_bulk_files_until_its_import_was_finished(
    spec: CollectionSpec, source: str, lineage: Lineage, awaits: bool
) -> None:
    found = described(spec, vitrine_bulk_source=source, vitrine_lineage=lineage.as_text())
    assert info_from(found, rows=0, loaded=False).awaits_bulk_files is awaits


@pytest.mark.parametrize("missing", ["vitrine_fields", "vitrine_index", "vitrine_fingerprint", "vitrine_created_at"])
def test_a_collection_that_vitrine_did_not_make_is_not_found(spec: CollectionSpec, missing: str) -> None:
    description = described(spec)
    del description["properties"][missing]
    with pytest.raises(CollectionNotFound, match="Vitrine did not make it"):
        info_from(description, rows=0, loaded=True)


@pytest.mark.parametrize(
    "broken", [{"vitrine_fields": "{"}, {"vitrine_index": '{"type": "scann"}'}, {"vitrine_index": "{}"}]
)
def test_properties_edited_by_hand_are_not_trusted(spec: CollectionSpec, broken: dict[str, str]) -> None:
    with pytest.raises(CollectionNotFound):
        info_from(described(spec, **broken), rows=0, loaded=True)


def test_a_foreign_collection_without_our_columns_is_not_found() -> None:
    foreign = {"collection_name": "theirs", "fields": [{"name": "pk", "params": {}}], "properties": {}}
    with pytest.raises(CollectionNotFound):
        info_from(foreign, rows=0, loaded=True)


def test_the_schema_has_the_reserved_columns_then_the_declared_ones(spec: CollectionSpec) -> None:
    columns = {field["name"]: field for field in build_schema(spec).to_dict()["fields"]}
    assert list(columns) == [
        "id",
        "embedding",
        "title",
        "group_key",
        "image_path",
        "colour",
        "stock",
        "price",
        "sale",
        "detail",
    ]
    assert columns["id"]["is_primary"]
    assert columns["embedding"]["params"] == {"dim": 512}
    assert columns["colour"]["params"] == {"max_length": 16}


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", 'x" or 1==1', "é", "a" * 201, "a\n"])
def test_names_that_milvus_cannot_have(name: str, spec: CollectionSpec) -> None:
    assert not valid_collection_name(name)
    with pytest.raises(InvalidInput):
        dataclasses.replace(spec, name=name)


@pytest.mark.parametrize(
    "name", ["id", "embedding", "title", "group", "Score", "in", "AND", "array_length", "1a", "a.b", "", "a b"]
)
def test_field_names_that_would_collide(name: str, spec: CollectionSpec) -> None:
    with pytest.raises(InvalidInput):
        dataclasses.replace(spec, fields=(FieldSpec(name, FieldType.TEXT),))


def test_fields_that_differ_only_in_case_are_refused(spec: CollectionSpec) -> None:
    with pytest.raises(InvalidInput, match="declared twice"):
        dataclasses.replace(spec, fields=(FieldSpec("size", FieldType.TEXT), FieldSpec("Size", FieldType.TEXT)))


@pytest.mark.parametrize(
    "change",
    [
        {"dimension": 1},
        {"dimension": 32_769},
        {"fields": (FieldSpec("a", FieldType.TEXT, max_bytes=65_536),)},
        {"fields": tuple(FieldSpec(f"f{n}", FieldType.FLAG) for n in range(57))},
    ],
)
def test_limits_of_milvus_are_ours(change: dict[str, Any], spec: CollectionSpec) -> None:
    with pytest.raises(LimitExceeded):
        dataclasses.replace(spec, **change)


def test_an_index_that_cannot_hold_the_vectors_is_refused(spec: CollectionSpec) -> None:
    with pytest.raises(InvalidInput, match="m must divide the dimension"):
        dataclasses.replace(spec, index=IvfPq(m=100))
