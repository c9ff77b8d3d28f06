import asyncio
import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.shop import Shop, jpeg, product_ids
from tests.unit.indexer.harness import SIZE, Bench, FakeEncoder, FakeWriter, HeldWriter, vectors_of
from vitrine.domain import EmbeddedItem
from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.preprocess import prepare
from vitrine.errors import ContractMismatch, EncoderUnavailable, LimitExceeded, VectorStoreUnavailable
from vitrine.indexer import sink
from vitrine.settings import ImageSettings
from vitrine.vectorstore.writer import estimate_bytes

LONG_AGO = 1_700_000_000


def stock(shop: Shop, count: int) -> list[str]:
    """That many good products, with pictures whose times are settled."""
    ids = product_ids(count)
    for product_id in ids:
        shop.add(product_id)
        os.utime(shop.path_of(product_id), (LONG_AGO, LONG_AGO))
    shop.write()
    return ids


async def test_every_product_is_written_with_the_vector_of_its_own_picture(bench: Bench) -> None:
    ids = stock(bench.shop, 30)
    tally = await bench.run()
    assert (tally.read, tally.written, tally.rejections) == (30, 30, 0)
    assert sorted(bench.writer.rows) == ids
    for product_id in ids:
        pixels = prepare(bench.shop.path_of(product_id).read_bytes(), ImagePolicy(size=SIZE), ImageSettings())
        np.testing.assert_array_equal(bench.writer.rows[product_id].vector, vectors_of(pixels[None])[0])


async def test_a_second_run_writes_nothing_and_asks_the_model_nothing(bench: Bench) -> None:
    stock(bench.shop, 12)
    await bench.run()
    bench.encoder, bench.writer = FakeEncoder(), FakeWriter()
    tally = await bench.run()
    assert (tally.read, tally.unchanged, tally.written) == (12, 12, 0)
    assert bench.encoder.calls == 0
    assert bench.writer.batches == []


async def test_only_what_changed_is_written_again(bench: Bench) -> None:
    ids = stock(bench.shop, 6)
    await bench.run()
    bench.shop.add_picture(ids[2], jpeg(99))
    bench.shop.lines[4] = bench.shop.lines[4].replace(f"Product {ids[4]}", "Renamed")  # type: ignore[arg-type, union-attr]
    bench.shop.write()
    bench.writer = FakeWriter()
    tally = await bench.run()
    assert (tally.written, tally.unchanged) == (2, 4)
    assert sorted(bench.writer.rows) == [ids[2], ids[4]]
    assert bench.writer.rows[ids[4]].item.title == "Renamed"


async def test_broken_products_are_rejected_and_stop_nothing(bench: Bench) -> None:
    good = stock(bench.shop, 5)
    bench.shop.add_row("0999000001")
    bench.shop.add("0999000002", picture=b"<html>")
    bench.shop.add("0999000003", picture=jpeg(3)[:300])
    bench.shop.add("0999000004", picture=b"")
    bench.shop.add_line("0999000005,ragged\n")
    bench.shop.add_row(good[0])
    bench.shop.write()
    tally = await bench.run()
    assert sorted(bench.writer.rows) == good
    assert (tally.read, tally.written) == (11, 5)
    assert dict(tally.rejected) == {
        "image_missing": 1,
        "image_unrecognised": 2,
        "image_corrupt": 1,
        "row_ragged": 1,
        "id_duplicate": 1,
    }
    with bench.rejects.open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert sorted((row["code"], row["id"]) for row in listed) == [
        ("id_duplicate", good[0]),
        ("image_corrupt", "0999000003"),
        ("image_missing", "0999000001"),
        ("image_unrecognised", "0999000002"),
        ("image_unrecognised", "0999000004"),
        ("row_ragged", "0999000005"),
    ]
    assert not bench.rejects.with_name("rejects.csv.partial").exists()


async def test_a_product_that_was_repaired_is_written_by_the_next_run(bench: Bench) -> None:
    bench.shop.add("0999000001", picture=b"broken")
    bench.shop.write()
    assert (await bench.run()).rejections == 1
    bench.shop.add_picture("0999000001")
    assert (await bench.run()).written == 1


async def test_calls_and_batches_stay_within_their_bounds(bench: Bench) -> None:
    stock(bench.shop, 41)
    bench.batch_size, bench.in_flight = 4, 3
    bench.encoder.hold_until = 3
    async with asyncio.timeout(20):
        await bench.run()
    assert bench.encoder.most_running == 3
    assert max(bench.encoder.batches) == 4
    assert sum(bench.encoder.batches) == 41
    assert len(bench.encoder.batches) == 11


async def test_decoding_waits_for_a_slow_model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(bench.shop, 200)
    prepared = 0

    def counted(*arguments: object) -> object:
        nonlocal prepared
        prepared += 1
        return prepare(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("vitrine.indexer.loading.prepare", counted)
    most_ahead = 0

    def look(encoder: FakeEncoder) -> None:
        nonlocal most_ahead
        most_ahead = max(most_ahead, prepared - sum(encoder.batches[: encoder.calls - encoder.running]))

    bench.encoder = FakeEncoder(before=look)
    await bench.run()
    # In the calls, one batch being put together, the channel between, the decoders' hands.
    assert most_ahead <= 4 * 2 + 4 + 2 * 4 + 3


async def test_upserts_are_sized_by_bytes(bench: Bench) -> None:
    stock(bench.shop, 100)
    bench.upsert_bytes = 20_000
    await bench.run()
    assert len(bench.writer.batches) > 3
    for ids in bench.writer.batches:
        sizes = [estimate_bytes(bench.writer.rows[product_id]) for product_id in ids]
        assert sum(sizes[:-1]) < bench.upsert_bytes


async def test_a_slow_model_does_not_keep_vectors_back_for_long(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink, "FLUSH_AFTER_S", 0.0)
    stock(bench.shop, 20)
    await bench.run()
    assert len(bench.writer.batches) > 1


async def test_nothing_is_in_the_ledger_before_milvus_acknowledged_it(bench: Bench) -> None:
    stock(bench.shop, 20)
    bench.upsert_bytes = 20_000
    seen: list[tuple[int, int]] = []

    def look(writer: FakeWriter, items: Sequence[EmbeddedItem]) -> None:
        import sqlite3

        database = sqlite3.connect(bench.folder / "ledger.sqlite")
        (count,) = database.execute("SELECT count(*) FROM products").fetchone()
        database.close()
        seen.append((count, len(writer.rows)))

    bench.writer = FakeWriter(before=look)
    await bench.run()
    assert len(seen) > 1
    assert all(recorded == acknowledged for recorded, acknowledged in seen)


async def test_a_model_that_comes_back_loses_nothing(bench: Bench) -> None:
    ids = stock(bench.shop, 20)

    def away_for_a_moment(encoder: FakeEncoder) -> None:
        if encoder.calls in (2, 3):
            raise EncoderUnavailable("restarting")

    bench.encoder = FakeEncoder(before=away_for_a_moment)
    assert (await bench.run()).written == 20
    assert sorted(bench.writer.rows) == ids


async def test_a_model_that_stays_away_ends_the_run_after_writing_what_there_is(bench: Bench) -> None:
    stock(bench.shop, 40)

    def gone(encoder: FakeEncoder) -> None:
        if encoder.calls > 3:
            raise EncoderUnavailable("gone")

    bench.encoder = FakeEncoder(before=gone)
    with pytest.raises(EncoderUnavailable, match="gone"):
        await bench.run()
    bench.tally.check()
    with bench.ledger() as ledger:
        assert ledger.in_collection() == len(bench.writer.rows) == bench.tally.written
    # Two calls run at once, so the last good one may have seen the fourth begin.
    written = bench.tally.written
    assert 0 < written <= 12
    bench.encoder = FakeEncoder()
    tally = await bench.run()
    assert (tally.unchanged, tally.written) == (written, 40 - written)


async def test_another_model_in_mid_run_is_not_retried(bench: Bench) -> None:
    stock(bench.shop, 40)

    def swapped(encoder: FakeEncoder) -> None:
        if encoder.calls >= 3:
            raise ContractMismatch("another model")

    bench.encoder = FakeEncoder(before=swapped)
    with pytest.raises(ContractMismatch):
        await bench.run()
    assert bench.encoder.calls <= 4


async def test_a_store_that_stays_away_ends_the_run_with_a_right_ledger(bench: Bench) -> None:
    ids = stock(bench.shop, 60)
    bench.upsert_bytes = 20_000

    def full(writer: FakeWriter, items: Sequence[EmbeddedItem]) -> None:
        if len(writer.batches) >= 2:
            raise VectorStoreUnavailable("gone")

    bench.writer = FakeWriter(before=full)
    with pytest.raises(VectorStoreUnavailable, match="gone"):
        await bench.run()
    acknowledged = set(bench.writer.rows)
    with bench.ledger() as ledger:
        assert set(ledger.lookup(ids)) == acknowledged
    bench.writer.before = lambda _writer, _items: None
    tally = await bench.run()
    assert tally.unchanged == len(acknowledged)
    assert sorted(bench.writer.rows) == ids


async def test_a_stop_finishes_what_is_written_and_the_next_run_goes_on(bench: Bench) -> None:
    ids = stock(bench.shop, 80)

    def stop_early(encoder: FakeEncoder) -> None:
        if encoder.calls >= 4:
            bench.control.stop("SIGINT")

    bench.encoder = FakeEncoder(before=stop_early)
    tally = await bench.run()
    assert bench.control.reason == "SIGINT"
    assert 0 < tally.written < 80
    assert tally.dropped > 0
    with bench.ledger() as ledger:
        assert ledger.in_collection() == tally.written == len(bench.writer.rows)
    bench.encoder = FakeEncoder()
    again = await bench.run()
    assert (again.read, again.unchanged, again.written) == (80, tally.written, 80 - tally.written)
    assert sorted(bench.writer.rows) == ids


async def test_too_many_rejections_end_the_run(bench: Bench) -> None:
    for product_id in product_ids(600):
        bench.shop.add_row(product_id)
    bench.shop.write()
    bench.max_rejects = 10
    with pytest.raises(LimitExceeded, match="More than 10"):
        await bench.run()
    bench.tally.check()
    assert bench.tally.rejections < 600


async def test_a_catalogue_without_rows_is_an_empty_run(bench: Bench) -> None:
    bench.shop.write()
    tally = await bench.run()
    assert (tally.read, tally.written) == (0, 0)


async def test_a_defect_in_a_stage_comes_out_as_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    stock(bench.shop, 4)

    def broken(*_: object) -> object:
        raise ZeroDivisionError

    monkeypatch.setattr("vitrine.indexer.loading.prepare", broken)
    with pytest.raises(ZeroDivisionError):
        await bench.run()


async def test_a_picture_that_cannot_be_read_does_not_take_its_older_state_away(bench: Bench, tmp_path: Path) -> None:
    ids = stock(bench.shop, 3)
    await bench.run()
    moved = tmp_path / "away.jpg"
    bench.shop.path_of(ids[1]).rename(moved)
    tally = await bench.run()
    assert (tally.unchanged, dict(tally.rejected)) == (2, {"image_missing": 1})
    with bench.ledger() as ledger:
        assert (ledger.in_collection(), ledger.stale()) == (3, 1)
    moved.rename(bench.shop.path_of(ids[1]))
    tally = await bench.run()
    assert (tally.unchanged, tally.written) == (3, 0)
    with bench.ledger() as ledger:
        assert ledger.stale() == 0


async def test_embedding_waits_for_a_milvus_that_takes_nothing(bench: Bench) -> None:
    stock(bench.shop, 400)
    bench.writer = writer = HeldWriter()
    run = asyncio.create_task(bench.run())
    async with asyncio.timeout(60):
        await writer.called.wait()
        seen, still = -1, 0
        while still < 20:
            await asyncio.sleep(0.01)
            still = still + 1 if bench.tally.embedded == seen else 0
            seen = bench.tally.embedded
        # What one upsert holds (under 100 rows of this size), the channel before it, and the calls in flight.
        assert bench.tally.embedded <= 100 + 4 * bench.batch_size * bench.in_flight + bench.batch_size * bench.in_flight
        writer.released.set()
        tally = await run
    assert tally.written == 400
