"""Products that left the catalogue, on the real engines."""

import sqlite3
from pathlib import Path

import pytest

from tests.fixtures.indexing import Indexing, Shelf
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import RunningStack
from vitrine.indexer.ledger import Ledger, RunNote
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.writer import CollectionWriter

ALIAS = "pruned"
IDS = product_ids(30)


class Shrinking:
    """A collection of thirty products, which the tests below take from and add to."""

    def __init__(self, shop: Shop, indexing: Indexing) -> None:
        self.shop = shop
        self.indexing = indexing
        for product_id in IDS:
            shop.add(product_id)
        self.whole = list(shop.lines)
        self.keep(IDS)
        indexing.index(shop.folder, ALIAS)

    def keep(self, ids: list[str]) -> None:
        """Writes the catalogue with these products alone."""
        self.shop.lines = [line for line in self.whole if str(line)[:10] in ids]
        self.shop.write()

    @property
    def ledger(self) -> Path:
        return self.indexing.state_dir / "ledger" / f"{ALIAS}_v1.sqlite"


@pytest.fixture(scope="module")
def shrinking(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Shrinking:
    folder = tmp_path_factory.mktemp("pruned")
    return Shrinking(Shop(folder / "shop"), Indexing(stack.settings, folder / "state"))


async def test_what_left_the_catalogue_stays_until_it_is_pruned(shrinking: Shrinking, shelf: Shelf) -> None:
    shrinking.keep(IDS[2:])
    kept = shrinking.indexing.index(shrinking.shop.folder, ALIAS).summary
    assert (kept["deleted"], kept["in_collection"]) == (0, 30)
    pruned = shrinking.indexing.index(shrinking.shop.folder, ALIAS, "--prune").summary
    assert (pruned["deleted"], pruned["in_collection"], pruned["expected"]) == (2, 28, 28)
    assert await shelf.ids(ALIAS) == IDS[2:]
    # What comes back is written like any other product.
    shrinking.keep(IDS)
    assert shrinking.indexing.index(shrinking.shop.folder, ALIAS, "--prune").counts["written"] == 2
    assert await shelf.ids(ALIAS) == IDS


async def test_a_catalogue_that_lost_too_much_prunes_nothing(shrinking: Shrinking, shelf: Shelf) -> None:
    shrinking.keep(IDS[20:])
    ended = shrinking.indexing.run("--catalogue", shrinking.shop.folder, "--collection", ALIAS, "--prune")
    assert (ended.status, ended.summary["error"]["code"]) == (2, "prune_refused")
    assert await shelf.ids(ALIAS) == IDS
    shrinking.keep(IDS)


async def test_a_run_killed_between_a_deletion_and_its_record_is_finished_by_the_next(
    shrinking: Shrinking, shelf: Shelf, stack: RunningStack
) -> None:
    left = IDS[1:]
    shrinking.keep(left)
    info = await shelf.info(ALIAS)
    with Ledger(shrinking.ledger, build_id=info.build_id, fingerprint=info.fingerprint) as ledger:
        ledger.begin_run(RunNote("shop", "hm"))
        ledger.mark_present((product_id, None) for product_id in left)
        ledger.decide_deletion(rejected=False)
    async with await MilvusConnection.open(stack.settings.milvus) as connection:
        assert await CollectionWriter(connection, info).delete(IDS[:1]) == IDS[:1]
    # It came back in the meantime: it is written after its deletion, not before.
    shrinking.keep(IDS)
    summary = shrinking.indexing.index(shrinking.shop.folder, ALIAS).summary
    assert (summary["deleted"], summary["written"]) == (1, 1)
    assert await shelf.ids(ALIAS) == IDS


async def test_rows_left_over_by_a_lost_ledger_can_be_pruned(shrinking: Shrinking, shelf: Shelf) -> None:
    for path in shrinking.ledger.parent.glob(f"{ALIAS}_v1.sqlite*"):
        path.unlink()
    shrinking.keep(IDS[1:])
    known = shrinking.indexing.run("--catalogue", shrinking.shop.folder, "--collection", ALIAS, "--prune").summary
    assert (known["deleted"], known["expected"], known["in_collection"]) == (0, 29, 30)
    assert shrinking.indexing.index(shrinking.shop.folder, ALIAS, "--prune-unknown").summary["deleted"] == 1
    assert await shelf.ids(ALIAS) == IDS[1:]
    database = sqlite3.connect(shrinking.ledger)
    assert database.execute("SELECT how, complete FROM runs").fetchall() == [("done", 1)] * 2
    database.close()


async def test_what_kept_embeddings_bring_back_is_pruned_from_a_candidate_without_embedding_anything(
    shop: Shop, indexing: Indexing, shelf: Shelf, tmp_path: Path
) -> None:
    alias, candidate, kept = "pruned_kept", "pruned_kept_next", tmp_path / "kept"
    for product_id in IDS:
        shop.add(product_id)
    indexing.index(shop.write(), alias, "--keep-embeddings", kept)
    shop.lines = shop.lines[1:]
    shop.write()
    filled = indexing.run("--from-embeddings", kept, "--collection", alias, "--into", candidate, "--index", "flat")
    assert filled.status == 0, filled.stderr
    assert await shelf.ids(candidate) == IDS
    summary = indexing.index(shop.folder, alias, "--into", candidate, "--prune").summary
    assert (summary["written"], summary["unchanged"], summary["deleted"]) == (0, 29, 1)
    assert await shelf.ids(candidate) == IDS[1:]
