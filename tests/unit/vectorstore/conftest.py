from datetime import UTC, datetime

import pytest

from vitrine.domain import FieldSpec, FieldType
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import Hnsw

FIELDS = (
    FieldSpec("colour", FieldType.TEXT, max_bytes=16, facetable=True),
    FieldSpec("stock", FieldType.INTEGER),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("sale", FieldType.FLAG),
    FieldSpec("detail", FieldType.TEXT, max_bytes=64, filterable=False),
)


@pytest.fixture
def fields() -> tuple[FieldSpec, ...]:
    return FIELDS


@pytest.fixture
def info() -> CollectionInfo:
    return CollectionInfo(
        name="products_v1",
        dimension=4,
        rows=0,
        fields=FIELDS,
        index=Hnsw(),
        fingerprint="f" * 64,
        model="test",
        build_id="b" * 32,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        loaded=True,
        aliases=("products",),
    )
