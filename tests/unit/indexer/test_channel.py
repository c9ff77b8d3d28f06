import asyncio

import pytest

from vitrine.indexer.channel import Channel


async def test_items_come_out_in_order_until_it_is_closed() -> None:
    channel: Channel[int] = Channel(10)
    for number in range(3):
        await channel.put(number)
    await channel.close()
    assert [number async for number in channel] == [0, 1, 2]
    assert await channel.take(1) is None


async def test_a_full_channel_makes_its_producer_wait() -> None:
    channel: Channel[int] = Channel(2)
    held = 0

    async def produce() -> None:
        nonlocal held
        for number in range(6):
            await channel.put(number)
            held += 1
        await channel.close()

    producer = asyncio.create_task(produce())
    for _ in range(20):
        await asyncio.sleep(0)
    assert held == 2
    assert await channel.take(2) == [0, 1]
    assert [number async for number in channel] == [2, 3, 4, 5]
    await producer


async def test_batches_are_full_but_the_last() -> None:
    channel: Channel[int] = Channel(3)

    async def produce() -> None:
        for number in range(8):
            await channel.put(number)
        await channel.close()

    producer = asyncio.create_task(produce())
    assert [batch async for batch in channel.batches(3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    await producer


async def test_taking_can_give_up_waiting_and_loses_nothing() -> None:
    channel: Channel[int] = Channel(1)
    assert await channel.take(1, within_s=0.01) == []
    await channel.put(1)
    assert await channel.take(1, within_s=0.01) == [1]


async def test_several_consumers_each_get_their_items_once() -> None:
    channel: Channel[int] = Channel(2)
    taken: list[int] = []

    async def consume() -> None:
        async for number in channel:
            taken.append(number)
            await asyncio.sleep(0)

    consumers = [asyncio.create_task(consume()) for _ in range(3)]
    for number in range(50):
        await channel.put(number)
    await channel.close()
    await asyncio.gather(*consumers)
    assert sorted(taken) == list(range(50))


async def test_nothing_goes_into_a_closed_channel() -> None:
    channel: Channel[int] = Channel(1)
    await channel.close()
    with pytest.raises(RuntimeError):
        await channel.put(1)
