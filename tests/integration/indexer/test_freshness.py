"""When a collection was last completely up to date: kept with the collection, moved by complete runs alone."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from tests.fixtures.indexing import Indexing, Shelf
from tests.fixtures.shop import Shop, product_ids

ALIAS = "freshness"
_A_WHILE = timedelta(hours=30)


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    for product_id in product_ids(6):
        shop.add(product_id)
    shop.write()
    return shop


async def made_old(shelf: Shelf, alias: str) -> datetime:
    """Sets the time of the last complete run back, as if it had been long ago."""
    info = await shelf.info(alias)
    assert info.lineage.indexed_at is not None, "no run said that the collection is up to date"
    old = info.lineage.indexed_at - _A_WHILE
    await shelf.admin.record_lineage(info.name, replace(info.lineage, indexed_at=old))
    return old


async def indexed_at(shelf: Shelf, alias: str) -> datetime | None:
    return (await shelf.info(alias)).lineage.indexed_at


async def test_complete_runs_alone_make_a_collection_fresh(stocked: Shop, indexing: Indexing, shelf: Shelf) -> None:
    indexing.index(stocked.folder, ALIAS)
    old = await made_old(shelf, ALIAS)
    indexing.index(stocked.folder, ALIAS, "--limit", "3")
    assert await indexed_at(shelf, ALIAS) == old, "a run over a part of the catalogue"
    stocked.add_row("0990000001")
    stocked.write()
    failed = indexing.run("--catalogue", stocked.folder, "--collection", ALIAS, "--max-rejects", "0")
    assert failed.status != 0
    assert await indexed_at(shelf, ALIAS) == old, "a run that failed for its rejections"
    nothing_new = indexing.index(stocked.folder, ALIAS)
    assert nothing_new.counts["written"] == 0
    fresh = await indexed_at(shelf, ALIAS)
    assert fresh is not None
    assert fresh > old + _A_WHILE - timedelta(seconds=1), "a run that found nothing to write says so too"
