from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vitrine.domain import FieldSpec, FieldType
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import Hnsw
from vitrine.vectorstore.lineage import Lineage

DAY = datetime(2026, 1, 1, tzinfo=UTC)
Make = Callable[..., CollectionInfo]


@pytest.fixture
def collection() -> Make:
    """`collection(2, alias="shop", replaces="shop_v1")`: the second version, finished, with that lineage."""

    def make(version: int, *, live: bool = False, finished: bool = True, **lineage: Any) -> CollectionInfo:
        info = CollectionInfo(
            name=f"shop_v{version}",
            dimension=4,
            rows=100,
            fields=(FieldSpec("colour", FieldType.TEXT, facetable=True), FieldSpec("price", FieldType.NUMBER)),
            index=Hnsw(),
            fingerprint="f" * 64,
            model="demo",
            build_id=f"build {version}",
            created_at=DAY + timedelta(days=version),
            loaded=True,
            aliases=("shop",) if live else (),
        )
        told = Lineage("shop", finished_at=info.created_at if finished else None)
        return replace(info, lineage=replace(told, **lineage))

    return make
