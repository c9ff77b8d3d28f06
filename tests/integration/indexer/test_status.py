"""What `index status` and `index why` say of a collection to which everything happened."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from pymilvus.grpc_gen import milvus_pb2
from typer.testing import CliRunner

from tests.fixtures.indexing import Indexing, Shelf
from tests.fixtures.shop import Shop, jpeg, product_ids
from tests.fixtures.stack import RunningStack
from vitrine.domain import CatalogueItem, EmbeddedItem
from vitrine.indexer.commands import register
from vitrine.indexer.diagnosis.status_reading import collection_status
from vitrine.indexer.diagnosis.why_reading import explain
from vitrine.local.gateway import environment_of
from vitrine.settings import LocalSettings, Settings
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.columns import columns_of
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.writer import CollectionWriter

ALIAS = "told"
IDS = product_ids(12)
WELL, CHANGED, VANISHED, GONE, LOST, DOUBLED = IDS[:6]
UNKNOWN, BROKEN, NEW, NOWHERE = "0990000001", "0990000002", "0990000003", "0990000004"


def anything(product_id: str, info: CollectionInfo) -> EmbeddedItem:
    vector = np.zeros(info.dimension, np.float32)
    vector[0] = 1.0
    values = {field.name: "1" for field in info.fields}
    return EmbeddedItem(CatalogueItem(product_id, Path("a.jpg"), "a.jpg", "Another", "", values), vector)


async def do_harm(settings: Settings) -> None:
    """One row lost, one doubled, one more than anybody knows of."""
    async with await MilvusConnection.open(settings.milvus) as connection:
        info = await Shelf(connection).info(ALIAS)
        await CollectionWriter(connection, info).delete([LOST])
        items = [anything(DOUBLED, info), anything(UNKNOWN, info)]
        # Milvus takes a second row of an id by an insert; the product itself only ever upserts.
        request = milvus_pb2.InsertRequest(
            collection_name=info.name,
            fields_data=columns_of(items, info.fields, info.dimension),
            num_rows=len(items),
        )
        await connection.call("Insert", request, seconds=10, doing="insert", collection=info.name)


@pytest.fixture(scope="module")
def harmed(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Shop, Settings]:
    folder = tmp_path_factory.mktemp("told")
    shop, indexing = Shop(folder / "shop"), Indexing(stack.settings, folder / "state")
    for product_id in IDS:
        shop.add(product_id)
    shop.add_row(BROKEN)
    indexing.index(shop.write(), ALIAS)
    shop.path_of(VANISHED).unlink()
    shop.lines = [line for line in shop.lines if not str(line).startswith(GONE)]
    assert indexing.index(shop.write(), ALIAS).summary["stale"] == 1
    asyncio.run(do_harm(stack.settings))
    # After the last run:
    shop.add_picture(CHANGED, jpeg(99))
    shop.add(NEW)
    shop.write()
    return shop, stack.settings.model_copy(update={"local": LocalSettings(state_dir=indexing.state_dir)})


async def test_status_names_every_difference_and_what_mends_it(harmed: tuple[Shop, Settings]) -> None:
    shop, settings = harmed
    found = await collection_status(ALIAS, settings, compare_ids=True)
    assert (found.live, found.rows, found.expected) == (True, 13, 12)
    assert found.added_up("rejected") == {"image_missing": 2}
    assert found.added_up("stale") == {"image_missing": 1}
    assert found.comparison is not None
    assert (found.comparison.missing, found.comparison.unknown, found.comparison.doubled) == (1, 1, 1)
    assert found.comparison.examples == {"missing": [LOST], "unknown": [UNKNOWN]}
    commands = {one.code: one.command for one in found.differences}
    run = f"vitrine index --collection {ALIAS} --catalogue {shop.folder}"
    assert commands["rows_unknown"] == f"{run} --prune-unknown"
    assert commands["rows_doubled"] == f"{run} --reindex"
    assert commands["gone"] == f"{run} --prune"
    assert commands["stale"] == f"{run} --prune-rejected"
    runs = found.ledgers[0].runs
    assert [(one.how, one.complete, one.counts["written"]) for one in runs] == [("done", True, 0), ("done", True, 12)]
    assert json.loads(json.dumps(found.as_json()))["in_collection"] == 13


@pytest.mark.parametrize(
    ("product_id", "code", "with_catalogue"),
    [
        (WELL, "present", "present"),
        (CHANGED, "present", "stale_changed"),
        (VANISHED, "stale_rejected", "stale_rejected"),
        (GONE, "stale_gone", "stale_gone"),
        (LOST, "lost", "lost"),
        (DOUBLED, "doubled", "doubled"),
        (UNKNOWN, "unknown", "unknown"),
        (BROKEN, "rejected", "rejected"),
        (NEW, "never_seen", "not_indexed"),
        (NOWHERE, "never_seen", "not_in_catalogue"),
    ],
)
async def test_why_tells_what_became_of_a_product(
    harmed: tuple[Shop, Settings], product_id: str, code: str, with_catalogue: str
) -> None:
    shop, settings = harmed
    assert (await explain(product_id, ALIAS, settings)).verdict.code == code
    looked = await explain(product_id, ALIAS, settings, catalogue=shop.folder)
    assert looked.verdict.code == with_catalogue


async def test_why_takes_an_id_without_its_leading_zeros(harmed: tuple[Shop, Settings]) -> None:
    shop, settings = harmed
    answer = await explain(WELL.lstrip("0"), ALIAS, settings, catalogue=shop.folder)
    assert (answer.facts.id, answer.verdict.code) == (WELL, "present")


def test_both_verbs_print_their_findings(harmed: tuple[Shop, Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    shop, settings = harmed
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    app = typer.Typer()
    register(app)
    told = CliRunner().invoke(app, ["index", "status", ALIAS], catch_exceptions=False).stdout
    assert "(told_v1, live)" in told
    assert f"vitrine index --collection {ALIAS} --catalogue {shop.folder} --prune" in told
    arguments = ["index", "why", DOUBLED, "--collection", ALIAS, "--catalogue", str(shop.folder)]
    why = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert f"{DOUBLED} is doubled: 2 rows have its id." in why
    assert "line 6" in why  # an earlier one left the catalogue


async def test_a_lost_and_a_doubled_product_are_mended_by_the_command_that_is_named(
    harmed: tuple[Shop, Settings], stack: RunningStack, shelf: Shelf
) -> None:
    _, settings = harmed
    indexing = Indexing(stack.settings, settings.local.state_dir)
    command = (await explain(LOST, ALIAS, settings)).verdict.command.split()
    ended = indexing.run(*command[2:], "--rewrite", DOUBLED)
    assert ended.status == 0, ended.stderr
    # The two, the one whose picture changed, and the one that was new.
    assert ended.counts["written"] == 4
    assert await shelf.ids(ALIAS) == sorted([*IDS, UNKNOWN, NEW])
    found = await collection_status(ALIAS, settings, compare_ids=True)
    assert found.comparison is not None
    assert (found.comparison.missing, found.comparison.unknown, found.comparison.doubled) == (0, 1, 0)
