"""The cap on a run's rate."""

import asyncio
import time

from tests.fixtures.shop import product_ids
from tests.unit.indexer.harness import Bench
from vitrine.indexer.pace import Pace


async def test_turns_come_evenly_spaced_however_many_wait_for_them() -> None:
    pace = Pace(100.0, asyncio.Event())
    moments: list[float] = []

    async def worker() -> None:
        for _ in range(5):
            await pace.turn()
            moments.append(time.monotonic())

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(3)))
    # The first turn is at once, each further one a hundredth of a second later at the earliest.
    assert [index for index, moment in enumerate(sorted(moments)) if moment - began < index * 0.01 - 0.001] == []


async def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    pace = Pace(50.0, asyncio.Event())
    await pace.turn()
    await asyncio.sleep(0.1)
    await pace.turn()
    after_pause = time.monotonic()
    await pace.turn()
    assert time.monotonic() - after_pause > 0.015


async def test_without_a_cap_nobody_waits() -> None:
    pace = Pace(0.0, asyncio.Event())
    async with asyncio.timeout(1):
        for _ in range(10_000):
            await pace.turn()


async def test_a_stop_ends_the_waiting() -> None:
    stop = asyncio.Event()
    pace = Pace(0.001, stop)
    await pace.turn()
    waiting = asyncio.create_task(pace.turn())
    await asyncio.sleep(0.01)
    stop.set()
    async with asyncio.timeout(5):
        await waiting


async def test_a_run_takes_up_no_more_pictures_than_its_cap(bench: Bench) -> None:
    for product_id in product_ids(21):
        bench.shop.add(product_id)
    bench.shop.write()
    bench.max_per_s = 50.0
    began = time.monotonic()
    tally = await bench.run()
    assert tally.written == 21
    assert time.monotonic() - began >= 20 / 50.0
