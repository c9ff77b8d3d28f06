"""Kept embeddings to a searchable collection through Milvus's own import."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.fixtures.indexing import Shelf, eventually
from tests.fixtures.kept import FIELDS, HEADER, keep, products
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import RunningService
from vitrine.domain import Deadline
from vitrine.indexer.backfill import KeptEmbeddings
from vitrine.indexer.bulk.against import compare_with_collection
from vitrine.indexer.bulk.checking import check_bulk_files
from vitrine.indexer.bulk.destination import CollectionNotEmpty, open_destination
from vitrine.indexer.bulk.embedding import EmbedRequest, run_bulk_embed
from vitrine.indexer.bulk.feeding import BulkImportFailed
from vitrine.indexer.bulk.importing import ImportRequest, run_bulk_import
from vitrine.indexer.bulk.manifest import BulkFilesInvalid, Manifest
from vitrine.indexer.bulk.outcome import ImportReport
from vitrine.indexer.bulk.writing import WriteRequest, write_bulk_files
from vitrine.indexer.candidate import open_candidate
from vitrine.indexer.display import LineDisplay
from vitrine.indexer.shards.sharding import Shard
from vitrine.indexer.target import CollectionInUse, Wanted, open_target
from vitrine.local.gateway import environment_of
from vitrine.settings import LocalSettings, MilvusSettings, ModelSettings, Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.bulk_import import JobState, bulk_importer
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.columns import cut
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat
from vitrine.vectorstore.lineage import Lineage, now
from vitrine.vectorstore.searcher import VectorSearcher

ROWS = 500
ALIAS = "bulk_shop"
WANTED = Wanted(ALIAS, HEADER.dimension, FIELDS, None, HEADER.fingerprint, HEADER.model, HEADER.group_name)


def quiet(_what: str, _share: float) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def bulk_settings(milvus_server: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Leads to the session's Milvus, with a state folder of its own and no model at hand."""
    folder = tmp_path_factory.mktemp("bulk_state")
    return milvus_server.settings.model_copy(
        update={"local": LocalSettings(state_dir=folder), "model": ModelSettings(repository=folder / "none")}
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of bulk rows."""
    folder = tmp_path_factory.mktemp("bulk_files")
    kept = KeptEmbeddings(keep(folder / "kept", products(ROWS)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrine.indexer.bulk.writing._CHUNK_ROWS", 200)
        write_bulk_files(kept, WriteRequest(folder / "bulk", file_bytes=1_000), quiet)
    return folder / "bulk"


async def do_import(settings: Settings, folder: Path, **options: Any) -> ImportReport:
    options = {"collection": ALIAS, "index": Flat()} | options
    return await run_bulk_import(ImportRequest(folder, **options), settings, LineDisplay())


@pytest.fixture(scope="module")
def imported(bulk_settings: Settings, files: Path) -> Iterator[ImportReport]:
    """All rows behind an alias. Removes, at the end, what any test here made."""
    yield asyncio.run(do_import(bulk_settings, files, compare_ids=True, publish=True))
    asyncio.run(_remove_all(bulk_settings))


async def _remove_all(settings: Settings) -> None:
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        await admin.remove_alias(ALIAS)
        for info in await admin.list(counted=False):
            if info.name.startswith("bulk_"):
                await admin.drop(info.name)


@pytest.fixture
async def connection(bulk_settings: Settings) -> AsyncIterator[MilvusConnection]:
    async with await MilvusConnection.open(bulk_settings.milvus) as connection:
        yield connection


@pytest.fixture
def bulk_shelf(connection: MilvusConnection) -> Shelf:
    return Shelf(connection)


@pytest.fixture
def damaged(files: Path, tmp_path: Path) -> Path:
    """The second of the files cut short."""
    folder = tmp_path / "damaged"
    shutil.copytree(files, folder)
    second = folder / "rows-000002.parquet"
    second.write_bytes(second.read_bytes()[:-200])
    return folder


async def names(shelf: Shelf, start: str) -> list[str]:
    return [info.name for info in await shelf.admin.list(counted=False) if info.name.startswith(start)]


async def test_every_row_arrives_as_it_was_kept(imported: ImportReport, bulk_shelf: Shelf) -> None:
    assert imported.failure is None, imported.failure
    assert imported.rows == imported.imported == imported.counted == ROWS
    assert len(imported.files) == 3
    assert all(file.agrees for file in imported.files)
    assert imported.ids_compared
    assert imported.recorded == ROWS
    kept = {one.item.item.id: one.item for one in products(ROWS)}
    assert await bulk_shelf.ids(ALIAS) == sorted(kept)
    vectors = await bulk_shelf.vectors(ALIAS, list(kept))
    hits = await bulk_shelf.hits(ALIAS, list(kept))
    for item_id, item in kept.items():
        np.testing.assert_array_equal(vectors[item_id], item.vector)
        hit = hits[item_id]
        assert (hit.title, hit.group, hit.image_path) == (item.item.title, item.item.group, item.item.image_path)
        expected = {
            name: cut(value, 16) if isinstance(value, str) else value for name, value in item.item.fields.items()
        }
        assert {name: value for name, value in hit.fields.items() if value is not None} == {
            name: value for name, value in expected.items() if value != ""
        }


async def test_what_was_imported_is_found_and_finished(
    imported: ImportReport, bulk_shelf: Shelf, connection: MilvusConnection
) -> None:
    info = await bulk_shelf.info(ALIAS)
    assert info.name == imported.collection == f"{ALIAS}_v1"
    assert info.fingerprint == HEADER.fingerprint
    assert info.fields == FIELDS
    assert info.group_name == "design"
    assert info.lineage.finished_at is not None
    wanted = products(1, first=321)[0].item
    hits = await VectorSearcher(connection).search(
        info.name, wanted.vector, limit=1, index=info.index, fields=(), deadline=Deadline.after(30)
    )
    assert [hit.id for hit in hits] == [wanted.item.id]


async def test_a_second_import_of_the_same_files_does_nothing(
    imported: ImportReport, files: Path, bulk_settings: Settings
) -> None:
    report = await do_import(bulk_settings, files, publish=True)
    assert (report.already, report.collection, report.counted) == (True, imported.collection, ROWS)
    assert all(file.job is None for file in report.files)


async def test_rows_are_not_imported_where_others_are(
    imported: ImportReport, bulk_settings: Settings, tmp_path: Path, bulk_shelf: Shelf
) -> None:
    write_bulk_files(KeptEmbeddings(keep(tmp_path / "kept", products(5))), WriteRequest(tmp_path / "b", 10**6), quiet)
    with pytest.raises(CollectionNotEmpty, match="doubled"):
        await do_import(bulk_settings, tmp_path / "b", into=imported.collection)
    assert await bulk_shelf.admin.count(imported.collection) == ROWS


async def test_files_are_compared_with_a_collection(
    imported: ImportReport, files: Path, bulk_settings: Settings, tmp_path: Path
) -> None:
    assert await compare_with_collection(files, ALIAS, bulk_settings.milvus) == []
    (missing,) = await compare_with_collection(files, "bulk_none", bulk_settings.milvus)
    assert missing.code == "collection_not_found"
    for number, (change, codes) in enumerate(
        [
            ({"fingerprint": "e" * 64}, ["contract_mismatch"]),
            ({"fields": FIELDS[:2]}, ["collection_differs"]),
            ({"dimension": 9}, ["dimension_differs"]),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        replace(Manifest.read_from(files), **change).write(folder)
        found = await compare_with_collection(folder, imported.collection, bulk_settings.milvus)
        assert [problem.code for problem in found] == codes


async def test_damaged_files_are_refused_before_anything_is_made(
    bulk_settings: Settings, damaged: Path, bulk_shelf: Shelf
) -> None:
    with pytest.raises(BulkFilesInvalid, match=r"rows-000002\.parquet"):
        await do_import(bulk_settings, damaged, collection="bulk_damaged")
    assert await names(bulk_shelf, "bulk_damaged") == []


async def test_a_failed_job_is_told_and_leaves_nothing_half_made(
    bulk_settings: Settings, damaged: Path, bulk_shelf: Shelf
) -> None:
    report = await do_import(bulk_settings, damaged, collection="bulk_damaged", check=False, publish=True)
    assert isinstance(report.failure, BulkImportFailed)
    assert report.dropped
    assert not report.published
    wrong = [file for file in report.files if file.job is not None and file.job.state is JobState.FAILED]
    assert [file.name for file in wrong] == ["rows-000002.parquet"]
    assert wrong[0].as_json()["reason"] != ""
    assert await names(bulk_shelf, "bulk_damaged") == []
    assert await bulk_shelf.admin.alias_target("bulk_damaged") is None


async def test_a_killed_import_goes_on_and_moves_no_alias(
    imported: ImportReport, bulk_settings: Settings, tmp_path: Path, bulk_shelf: Shelf
) -> None:
    """Other files for an alias that is live: the next version, beside it."""
    kept = KeptEmbeddings(keep(tmp_path / "kept", products(ROWS, first=100)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitrine.indexer.bulk.writing._CHUNK_ROWS", 250)
        write_bulk_files(kept, WriteRequest(tmp_path / "bulk", file_bytes=1_000), quiet)
    _kill_while_it_imports(bulk_settings, tmp_path / "bulk", tmp_path / "log")
    # Upserts would be doubled by files that are still to come.
    with pytest.raises(CollectionInUse, match="bulk import"):
        await open_candidate(bulk_shelf.admin, WANTED, f"{ALIAS}_v2", quiet)
    report = await do_import(bulk_settings, tmp_path / "bulk", publish=True, compare_ids=True)
    assert report.failure is None, report.failure
    assert (report.collection, report.counted, report.published) == (f"{ALIAS}_v2", ROWS, False)
    assert await names(bulk_shelf, f"{ALIAS}_v") == [f"{ALIAS}_v1", f"{ALIAS}_v2"]
    assert (await bulk_shelf.info(ALIAS)).name == imported.collection
    assert (await bulk_shelf.info(report.collection)).lineage.finished_at is not None
    for _ in range(2):  # an index run goes over it afterwards, and on after a kill
        assert (await open_candidate(bulk_shelf.admin, WANTED, report.collection, quiet)).candidate


async def test_a_killed_import_into_an_emptied_collection_is_not_taken_for_done(
    imported: ImportReport, files: Path, connection: MilvusConnection, bulk_shelf: Shelf
) -> None:
    admin, name, alias = bulk_shelf.admin, "bulk_emptied", "bulk_emptied_alias"
    wanted = replace(WANTED, alias=alias)
    await admin.create(
        CollectionSpec(name, HEADER.dimension, FIELDS, Flat(), HEADER.fingerprint, HEADER.model, alias=alias)
    )
    await admin.record_lineage(name, Lineage(alias=alias, finished_at=now(), rows=3))
    async with bulk_importer(connection) as importer:
        for _ in range(2):  # the first one ends before it gives Milvus a file
            destination = await open_destination(admin, importer, wanted, Manifest.read_from(files), name, quiet)
            assert not destination.finished
    await admin.point_alias(alias, name)
    try:
        with pytest.raises(CollectionInUse, match="bulk import"):
            await open_target(admin, wanted, quiet)
    finally:
        await admin.remove_alias(alias)


def _kill_while_it_imports(settings: Settings, folder: Path, log: Path) -> None:
    command = ["bulk", "import", str(folder), "--collection", ALIAS, "--index", "flat"]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "vitrine.indexer", *command],
            env={**os.environ, **environment_of(settings)},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
        try:
            eventually("it imports", lambda: "importing" in log.read_text() or process.poll() is not None)
            assert process.poll() is None, log.read_text()
        finally:
            process.kill()
            process.wait()


async def test_a_shards_pictures_are_embedded_without_milvus_and_only_once(
    triton_server: RunningService, tmp_path: Path
) -> None:
    settings = triton_server.settings.model_copy(
        update={
            "milvus": MilvusSettings(uri="http://127.0.0.1:1"),
            "local": LocalSettings(state_dir=tmp_path / "state"),
        }
    )
    shop = Shop(tmp_path / "shop")
    ids = [shop.add(product_id) for product_id in product_ids(10)]
    shop.add_row("0990000001")  # without a picture
    shop.write()
    folders = [tmp_path / "one", tmp_path / "two"]
    for _round in range(2):
        for number, folder in enumerate(folders, start=1):
            request = EmbedRequest(shop.folder, "hm", folder, Shard(number, 2))
            report = await run_bulk_embed(request, settings, LineDisplay())
            assert report.failure is None, report.failure
            tally = report.tally
            assert tally.read == 11 == tally.written + tally.unchanged + tally.rejections + tally.elsewhere
            assert (tally.unchanged == 0) == (_round == 0)
            assert (tally.written == 0) == (_round == 1)
    manifest = write_bulk_files(KeptEmbeddings(*folders), WriteRequest(tmp_path / "bulk", 10**6), quiet)
    assert check_bulk_files(tmp_path / "bulk", quiet).good
    assert (manifest.rows, manifest.superseded, manifest.dimension) == (len(ids), 0, 512)
    assert sorted(pq.read_table(tmp_path / "bulk" / "rows-000001.parquet")["id"].to_pylist()) == ids
