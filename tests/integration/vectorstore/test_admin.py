import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pymilvus import DataType
from pymilvus.grpc_gen import milvus_pb2

from tests.integration.vectorstore.conftest import FIELDS, drop, make_item, make_spec, soon, unit_vectors
from tests.integration.vectorstore.servers import Part, needs
from vitrine.domain import Deadline
from vitrine.errors import CollectionNotFound, CollectionNotReady, DeadlineExceeded, InvalidInput
from vitrine.vectorstore import reader
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Hnsw, HnswSq, IvfPq
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter


@pytest.fixture
async def spec(admin: CollectionAdmin) -> AsyncIterator[CollectionSpec]:
    """A specification whose collection is removed after the test, however far it was made."""
    spec = make_spec()
    yield spec
    await drop(admin, spec.name)


async def interrupt_creation(admin: CollectionAdmin, spec: CollectionSpec) -> None:
    """Stops a creation while it waits for loading, as a killed process would."""
    loading = asyncio.Event()
    creation = asyncio.create_task(admin.create(spec, on_progress=lambda *_: loading.set()))
    await asyncio.wait_for(loading.wait(), timeout=30)
    creation.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creation


async def test_a_created_collection_is_what_was_specified(admin: CollectionAdmin, spec: CollectionSpec) -> None:
    told: list[tuple[str, float]] = []
    info = await admin.create(spec, on_progress=lambda what, share: told.append((what, share)))
    for name in ("name", "dimension", "fields", "index", "fingerprint", "model"):
        assert getattr(info, name) == getattr(spec, name)
    assert (info.rows, info.loaded, info.complete, info.aliases) == (0, True, True, ())
    assert timedelta(0) <= datetime.now(UTC) - info.created_at < timedelta(minutes=2)
    assert told[-1] == (f"loading {spec.name}", 1.0)
    assert await admin.describe(spec.name) == info
    assert info in await admin.list()
    with pytest.raises(InvalidInput, match="taken already"):
        await admin.create(spec)


async def test_search_defaults_are_changed_for_every_reader_and_the_index_stays(
    admin: CollectionAdmin, spec: CollectionSpec
) -> None:
    made = await admin.create(spec)
    alias = f"{spec.name}_alias"
    await admin.point_alias(alias, spec.name)
    directory = CollectionDirectory(admin, ttl_s=0.2)
    assert (await directory.resolve(alias, soon())).index == Hnsw()
    assert (await admin.set_search_defaults(spec.name, {"ef": 300})).index == Hnsw(ef=300)
    assert (await admin.describe(alias)).index == Hnsw(ef=300)
    assert (await admin.describe(alias)).build_id == made.build_id
    await asyncio.sleep(0.2)
    assert (await directory.resolve(alias, soon())).index == Hnsw(ef=300)
    for name, settings, message in (
        (spec.name, {"M": 8}, "takes no parameter 'M'"),
        (spec.name, {"ef": 0}, "ef must be a whole number"),
        (alias, {"ef": 8}, f"is an alias; the collection is {spec.name}"),
    ):
        with pytest.raises(InvalidInput, match=message):
            await admin.set_search_defaults(name, settings)
    assert (await admin.describe(spec.name)).index == Hnsw(ef=300)


async def test_a_collection_made_again_has_another_build_id(admin: CollectionAdmin, spec: CollectionSpec) -> None:
    first = await admin.create(spec)
    await admin.drop(spec.name)
    await admin.drop(spec.name)
    assert not await admin.exists(spec.name)
    with pytest.raises(CollectionNotFound):
        await admin.describe(spec.name)
    assert (await admin.create(spec)).build_id != first.build_id


async def test_an_interrupted_creation_is_recognised_and_can_be_made_again(
    connection: MilvusConnection, admin: CollectionAdmin, spec: CollectionSpec
) -> None:
    await interrupt_creation(admin, spec)
    info = next(info for info in await admin.list() if info.name == spec.name)
    assert not info.complete
    with pytest.raises(InvalidInput, match="half-made"):
        CollectionWriter(connection, info)
    with pytest.raises(CollectionNotReady, match="half-made"):
        await CollectionDirectory(admin).resolve(spec.name, soon())
    with pytest.raises(CollectionNotReady, match="half-made"):
        await admin.point_alias(f"{spec.name}_alias", spec.name)
    with pytest.raises(InvalidInput, match="half-made") as caught:
        await admin.create(spec)
    assert caught.value.details["half_made"] is True
    assert (await admin.create(spec, replace_incomplete=True)).complete


@needs(Part.ATOMIC_CREATION)
async def test_of_two_creators_at_the_same_moment_one_succeeds(
    connection: MilvusConnection, admin: CollectionAdmin, spec: CollectionSpec
) -> None:
    results = await asyncio.gather(admin.create(spec), CollectionAdmin(connection).create(spec), return_exceptions=True)
    made = [result for result in results if isinstance(result, CollectionInfo)]
    assert len(made) == 1
    assert [type(result) for result in results if result not in made] == [InvalidInput]
    assert (await admin.describe(spec.name)).build_id == made[0].build_id


@needs(Part.VERSION_NUMBER)
async def test_an_index_the_server_is_too_old_for_is_refused_before_anything_is_made(
    connection: MilvusConnection, admin: CollectionAdmin
) -> None:
    version = await connection.server_version()
    spec = make_spec(index=HnswSq())
    with pytest.raises(InvalidInput, match=f"HNSW_SQ needs Milvus 2.5.0 or newer; this one is {version}"):
        await admin.create(spec)
    assert not await admin.exists(spec.name)


@needs(Part.BACKGROUND_LOADING)
async def test_a_creation_that_runs_out_of_time_leaves_nothing(admin: CollectionAdmin, spec: CollectionSpec) -> None:
    with pytest.raises(DeadlineExceeded):
        await admin.create(spec, deadline=Deadline.after(0.4))
    assert not await admin.exists(spec.name)


async def test_collections_of_others_are_left_alone(connection: MilvusConnection, admin: CollectionAdmin) -> None:
    name = f"foreign_{secrets.token_hex(6)}"
    schema = connection.client.create_schema()
    schema.add_field("pk", DataType.INT64, is_primary=True)
    schema.add_field("v", DataType.FLOAT_VECTOR, dim=4)
    await connection.client.create_collection(name, schema=schema, timeout=10)
    try:
        assert await admin.exists(name)
        with pytest.raises(CollectionNotFound, match="Vitrine did not make it"):
            await admin.describe(name)
        assert name not in [info.name for info in await admin.list()]
        with pytest.raises(InvalidInput, match="taken already"):
            await admin.create(make_spec(name), replace_incomplete=True)
    finally:
        await connection.client.drop_collection(name, timeout=10)


@pytest.mark.parametrize("name", ["nothing_of_that_name", 'x" or 1==1', "a-b", "", "é", "a" * 300])
async def test_a_name_that_is_none_is_not_found(admin: CollectionAdmin, name: str) -> None:
    with pytest.raises(CollectionNotFound):
        await admin.describe(name)
    assert not await admin.exists(name)
    assert await admin.alias_target(name) is None
    await admin.drop(name)


async def test_an_alias_is_made_moved_and_protects_its_collection(admin: CollectionAdmin, spec: CollectionSpec) -> None:
    first = await admin.create(spec)
    second = await admin.create(make_spec())
    alias = f"{spec.name}_alias"
    try:
        await admin.point_alias(alias, first.name)
        await admin.point_alias(alias, first.name)
        assert await admin.alias_target(alias) == first.name
        assert (await admin.describe(alias)).build_id == first.build_id
        with pytest.raises(InvalidInput, match="cannot be dropped while an alias points at it"):
            await admin.drop(first.name)
        with pytest.raises(InvalidInput, match="cannot be dropped"):
            await admin.drop(alias)
        await admin.point_alias(alias, second.name)
        assert (await admin.describe(alias)).name == second.name
        assert (await admin.describe(second.name)).aliases == (alias,)
        assert (await admin.describe(first.name)).aliases == ()
        await admin.drop(first.name)
        await admin.remove_alias(alias)
        await admin.remove_alias(alias)
        assert await admin.alias_target(alias) is None
    finally:
        await drop(admin, second.name)


async def test_an_alias_cannot_point_nowhere_or_have_a_collections_name(
    admin: CollectionAdmin, empty_collection: CollectionInfo, spec: CollectionSpec
) -> None:
    with pytest.raises(CollectionNotFound):
        await admin.point_alias(f"{spec.name}_alias", spec.name)
    await admin.create(spec)
    with pytest.raises(InvalidInput):
        await admin.point_alias(spec.name, empty_collection.name)
    with pytest.raises(InvalidInput, match="letters, digits and _ only"):
        await admin.point_alias("not-a-name", empty_collection.name)
    assert await admin.alias_target(empty_collection.name) is None


async def test_a_released_collection_is_not_ready_until_it_is_loaded_again(
    admin: CollectionAdmin, searcher: VectorSearcher, spec: CollectionSpec
) -> None:
    info = await admin.create(spec)
    vector = unit_vectors(1)[0]
    await admin.release(spec.name)
    assert not (await admin.describe(spec.name)).loaded
    for read in (
        searcher.search(spec.name, vector, limit=1, index=info.index, fields=FIELDS, deadline=soon()),
        searcher.vectors_of(spec.name, ["1"], soon()),
    ):
        with pytest.raises(CollectionNotReady):
            await read
    await admin.load(spec.name)
    assert (await admin.describe(spec.name)).loaded
    assert await searcher.search(spec.name, vector, limit=1, index=info.index, fields=FIELDS, deadline=soon()) == []


@needs(Part.UNCOUNTED_UNLOADED)
async def test_a_released_collection_cannot_be_counted(admin: CollectionAdmin, spec: CollectionSpec) -> None:
    await admin.create(spec)
    await admin.release(spec.name)
    with pytest.raises(CollectionNotReady):
        await admin.count(spec.name)


async def test_ids_and_counts_are_exact_over_pages_replacements_and_deletions(
    connection: MilvusConnection, admin: CollectionAdmin, spec: CollectionSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_IDS_PER_PAGE", 7)
    writer = CollectionWriter(connection, await admin.create(spec))
    vectors = unit_vectors(30)
    odd = ["é", 'q"uote', "back\\slash", "z", "Z", "~", "10", "9", "\U0001f457", "'", "a\nb", "0108775015"]
    ids = odd + [f"p{number:03d}" for number in range(18)]
    await writer.upsert([make_item(item_id, vector) for item_id, vector in zip(ids, vectors, strict=True)])
    await writer.flush()
    await writer.upsert([make_item(item_id, vector) for item_id, vector in zip(ids[:20], vectors, strict=False)])
    assert sorted(await writer.delete(["p003", "é"])) == ["p003", "é"]
    left = sorted(set(ids) - {"p003", "é"}, key=str.encode)
    assert [item_id async for item_id in admin.ids(spec.name)] == left
    assert await admin.count(spec.name) == len(left)


@needs(Part.IVF_PQ)
async def test_the_wait_for_an_index_ends_when_all_is_indexed(
    connection: MilvusConnection, admin: CollectionAdmin
) -> None:
    spec = make_spec(index=IvfPq(nlist=16, m=4))
    info = await admin.create(spec)
    told: list[float] = []
    try:
        await fill(connection, info)
        with pytest.raises(DeadlineExceeded):
            await admin.wait_index_built(spec.name, deadline=Deadline.after(0.001))
        await admin.wait_index_built(
            spec.name, deadline=Deadline.after(60), on_progress=lambda _, share: told.append(share)
        )
        assert told[-1] == 1.0
        assert all(0.0 <= share <= 1.0 for share in told)
        state = await connection.client.describe_index(spec.name, "embedding", timeout=5)
        assert (state["total_rows"], state["pending_index_rows"]) == (2_000, 0)
    finally:
        await drop(admin, spec.name)


@needs(Part.SEGMENTS)
async def test_the_wait_for_serving_ends_when_query_nodes_have_the_index(
    connection: MilvusConnection, admin: CollectionAdmin
) -> None:
    spec = make_spec(index=Hnsw())
    info = await admin.create(spec)
    told: list[float] = []
    try:
        await admin.wait_index_served(spec.name)  # nothing to serve
        await fill(connection, info)
        await admin.wait_index_built(spec.name, deadline=Deadline.after(60))
        await admin.wait_index_served(
            spec.name, deadline=Deadline.after(60), on_progress=lambda _, share: told.append(share)
        )
        assert told[-1] == 1.0
        request = milvus_pb2.GetQuerySegmentInfoRequest(collectionName=spec.name)
        loaded = await connection.call("GetQuerySegmentInfo", request, seconds=5, doing="list segments")
        assert {segment.index_name for segment in loaded.infos} == {"embedding"}
        assert sum(segment.num_rows for segment in loaded.infos) == 2_000
    finally:
        await drop(admin, spec.name)


async def fill(connection: MilvusConnection, info: CollectionInfo) -> None:
    """Writes and flushes 2,000 items."""
    writer = CollectionWriter(connection, info)
    await writer.upsert([make_item(str(row), vector) for row, vector in enumerate(unit_vectors(2_000))])
    await writer.flush()
