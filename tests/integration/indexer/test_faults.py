"""What a run does when it, Triton or Milvus is stopped in the middle."""

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

from tests.fixtures.indexing import Indexing, Shelf, eventually
from tests.fixtures.shop import Shop, jpeg, product_ids
from tests.fixtures.stack import RunningStack

COUNT = 600
FAULT_S = 8.0  # several times what the rest of the run takes
# Small upserts, so that there is a middle to be stopped in.
SMALL_UPSERTS = {"VITRINE_INDEXER__UPSERT_BYTES": str(256 * 1024)}


@pytest.fixture
def ids(shop: Shop) -> list[str]:
    ids = product_ids(COUNT)
    pictures = [jpeg(number, size=(300, 400)) for number in range(20)]
    for number, product_id in enumerate(ids):
        # The bytes after the picture make each file's content its own.
        shop.add(product_id, picture=pictures[number % 20] + str(number).encode())
    shop.write()
    return ids


@pytest.fixture(autouse=True)
def engines_run_afterwards(stack: RunningStack) -> Iterator[None]:
    """A test that failed half way must not leave the session's engines stopped."""
    yield
    for engine in (stack.triton, stack.milvus):
        engine.start()
        engine.resume()
        engine.wait_ready()


async def test_a_killed_run_is_resumed_and_ends_with_exactly_the_catalogue(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf
) -> None:
    arguments = ("--catalogue", shop.folder, "--collection", "killed")
    for threshold in (1, 200, 400):
        running = indexing.start(*arguments, **SMALL_UPSERTS)
        running.wait_until_recorded(threshold)
        running.kill()
        assert await shelf.admin.alias_target("killed") is None
    ended = indexing.run(*arguments)
    assert ended.status == 0, ended.stderr
    assert ended.counts["unchanged"] >= 400
    assert ended.counts["unchanged"] + ended.counts["written"] == COUNT
    assert ended.summary["in_collection"] == COUNT
    assert await shelf.ids("killed") == ids


async def test_a_run_that_was_killed_while_it_made_its_collection_starts_over(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf
) -> None:
    running = indexing.start("--catalogue", shop.folder, "--collection", "halfmade", "--limit", "50")
    while not await shelf.admin.exists("halfmade_v1"):
        assert running.process.poll() is None
    running.kill()
    assert await shelf.admin.alias_target("halfmade") is None
    summary = indexing.index(shop.folder, "halfmade", "--limit", "50").summary
    assert summary["collection"] == "halfmade_v1"
    assert await shelf.ids("halfmade") == ids[:50]


async def test_ctrl_c_stops_in_order_and_the_same_command_goes_on(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf
) -> None:
    alias = "stopped"
    running = indexing.start("--catalogue", shop.folder, "--collection", alias, **SMALL_UPSERTS)
    running.wait_until_recorded(1)
    running.process.send_signal(signal.SIGINT)
    ended = running.end()
    assert ended.status == 130, ended.stderr
    assert ended.summary["interrupted"] == "SIGINT"
    counts = ended.counts
    assert 0 < counts["written"] < COUNT
    assert counts["read"] == counts["written"] + counts["dropped"]
    assert counts["written"] == running.recorded()
    assert await shelf.admin.alias_target(alias) is None
    assert await shelf.admin.count(f"{alias}_v1") == counts["written"]
    again = indexing.index(shop.folder, alias)
    assert again.counts["unchanged"] == counts["written"]
    assert await shelf.ids(alias) == ids


async def test_a_second_run_and_readers_are_kept_away_until_the_first_fill_is_complete(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf
) -> None:
    first = indexing.start("--catalogue", shop.folder, "--collection", "busy", **SMALL_UPSERTS)
    first.wait_until_recorded(1)
    assert await shelf.admin.alias_target("busy") is None
    second = indexing.run("--catalogue", shop.folder, "--collection", "busy")
    assert second.status == 1
    assert "ledger_busy" in second.stderr
    assert first.end().status == 0
    assert await shelf.admin.alias_target("busy") == "busy_v1"


async def test_a_run_waits_for_a_triton_that_hangs(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf, stack: RunningStack
) -> None:
    running = indexing.start("--catalogue", shop.folder, "--collection", "paused", **SMALL_UPSERTS)
    running.wait_until_recorded(1)
    stack.triton.pause()
    try:
        await asyncio.sleep(FAULT_S)
        assert running.process.poll() is None
        assert running.recorded() < COUNT
    finally:
        stack.triton.resume()
    ended = running.end()
    assert ended.status == 0, ended.stderr
    assert ended.counts["written"] == COUNT
    assert await shelf.ids("paused") == ids


@pytest.mark.parametrize("name", ["triton", "milvus"])
async def test_a_run_survives_an_engine_that_is_killed_and_comes_back(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf, stack: RunningStack, name: str
) -> None:
    alias = f"survives_{name}"
    running = indexing.start("--catalogue", shop.folder, "--collection", alias, **SMALL_UPSERTS)
    running.wait_until_recorded(1)
    engine = stack[name]
    engine.kill()
    eventually("the run notices", lambda: running.process.poll() is None)
    engine.start()
    engine.wait_ready()
    ended = running.end()
    assert ended.status == 0, ended.stderr
    assert ended.summary["in_collection"] == COUNT
    assert await shelf.ids(alias) == ids


async def test_a_triton_that_stays_away_ends_the_run_with_a_code_and_a_right_ledger(
    shop: Shop, ids: list[str], indexing: Indexing, shelf: Shelf, stack: RunningStack
) -> None:
    running = indexing.start(
        "--catalogue", shop.folder, "--collection", "orphaned", VITRINE_INDEXER__ENCODE_ATTEMPTS="2", **SMALL_UPSERTS
    )
    running.wait_until_recorded(1)
    stack.triton.kill()
    ended = running.end()
    assert ended.status == 1
    assert ended.summary["error"]["code"] == "encoder_unavailable"
    assert "encoder_unavailable" in ended.stderr
    assert "Traceback" not in ended.stderr
    written = ended.counts["written"]
    assert 0 < written == running.recorded() < COUNT
    stack.triton.start()
    stack.triton.wait_ready()
    assert indexing.index(shop.folder, "orphaned").counts["unchanged"] == written
    assert await shelf.ids("orphaned") == ids


@pytest.mark.parametrize(
    ("variable", "address", "code"),
    [
        ("VITRINE_TRITON__URL", "http://127.0.0.1:1", "encoder_unavailable"),
        ("VITRINE_MILVUS__URI", "http://127.0.0.1:1", "vector_store_unavailable"),
    ],
)
def test_an_engine_that_is_not_there_is_one_sentence(
    shop: Shop, ids: list[str], indexing: Indexing, variable: str, address: str, code: str
) -> None:
    began = time.monotonic()
    ended = indexing.run("--catalogue", shop.folder, "--collection", "nowhere", **{variable: address})
    assert ended.status == 1
    assert code in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - began < 30
