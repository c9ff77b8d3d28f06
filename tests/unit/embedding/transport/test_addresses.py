"""Whose turn it is, and what happens when a name stands for others, or for nobody."""

import asyncio

import pytest

from vitrine.embedding.transport.addresses import Address, Addresses, resolve

ONE, TWO, THREE = (("10.0.0.1", 80), ("10.0.0.2", 80), ("10.0.0.3", 80))


class Names:
    """A resolver whose answer a test changes, and the clock that it lives by."""

    def __init__(self, *found: Address) -> None:
        self.found = list(found)
        self.failure: OSError | None = None
        self.looks = 0
        self.now = 100.0

    async def __call__(self, host: str, port: int) -> list[Address]:
        assert (host, port) == ("triton", 80)
        self.looks += 1
        if self.failure is not None:
            raise self.failure
        return self.found

    def addresses(self) -> Addresses:
        return Addresses("triton", 80, self, lambda: self.now)


async def settled() -> None:
    """Lets a look in the background come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def firsts(addresses: Addresses, count: int) -> list[Address]:
    return [(await addresses.in_turn())[0] for _ in range(count)]


async def test_each_has_its_turn_and_the_others_follow() -> None:
    addresses = Names(THREE, ONE, TWO).addresses()
    orders = [list(await addresses.in_turn()) for _ in range(6)]
    assert [order[0] for order in orders] == [TWO, THREE, ONE] * 2
    assert all(sorted(order) == [ONE, TWO, THREE] for order in orders)


async def test_who_rests_comes_last_for_a_second() -> None:
    names = Names(ONE, TWO, THREE)
    addresses = names.addresses()
    await addresses.in_turn()
    addresses.rest(TWO)
    orders = [list(await addresses.in_turn()) for _ in range(6)]
    assert all(order[-1] == TWO for order in orders)
    names.now += 1.1
    assert set(await firsts(addresses, 3)) == {ONE, TWO, THREE}


async def test_where_all_rest_all_are_tried() -> None:
    addresses = Names(ONE, TWO).addresses()
    for address in (ONE, TWO):
        addresses.rest(address)
    assert set(await firsts(addresses, 2)) == {ONE, TWO}


async def test_a_name_is_looked_up_again_while_the_known_addresses_serve() -> None:
    names = Names(ONE)
    addresses = names.addresses()
    assert await firsts(addresses, 3) == [ONE] * 3
    assert names.looks == 1
    names.found, names.now = [TWO, THREE], names.now + 5.1
    assert await firsts(addresses, 3) == [ONE] * 3
    await settled()
    assert set(await firsts(addresses, 4)) == {TWO, THREE}
    assert names.looks == 2


@pytest.mark.parametrize("failure", [OSError("no name server"), None])
async def test_a_name_that_is_gone_leaves_the_known_addresses(failure: OSError | None) -> None:
    names = Names(ONE)
    addresses = names.addresses()
    await addresses.in_turn()
    names.found, names.failure, names.now = [], failure, names.now + 5.1
    for _ in range(3):
        assert await firsts(addresses, 1) == [ONE]
        await settled()
    assert names.looks >= 3
    names.found, names.failure = [TWO], None
    await firsts(addresses, 1)
    await settled()
    assert await firsts(addresses, 1) == [TWO]


async def test_a_name_that_stands_for_nobody_is_said_and_asked_for_again() -> None:
    names = Names()
    addresses = names.addresses()
    with pytest.raises(OSError, match="triton has no address"):
        await addresses.in_turn()
    names.failure = OSError("no name server")
    with pytest.raises(OSError, match="no name server"):
        await addresses.in_turn()
    names.found, names.failure = [ONE], None
    assert await firsts(addresses, 1) == [ONE]


async def test_those_who_wait_for_a_first_look_share_it_and_may_leave() -> None:
    asked, answer = 0, asyncio.get_running_loop().create_future()

    async def slow(host: str, port: int) -> list[Address]:
        nonlocal asked
        asked += 1
        return list(await answer)

    addresses = Addresses("triton", 80, slow)
    waiting = [asyncio.create_task(addresses.in_turn()) for _ in range(3)]
    await settled()
    waiting[0].cancel()
    await settled()
    answer.set_result([ONE])
    assert [await task for task in waiting[1:]] == [[ONE]] * 2
    assert asked == 1


async def test_an_ip_address_is_never_looked_up() -> None:
    names = Names()
    for host in ("127.0.0.1", "::1"):
        assert await Addresses(host, 8000, names).in_turn() == [(host, 8000)]
    assert names.looks == 0


async def test_the_systems_resolver_knows_this_machine() -> None:
    assert set(await resolve("localhost", 8000)) & {("127.0.0.1", 8000), ("::1", 8000)}
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        await resolve("nowhere.invalid", 8000)
