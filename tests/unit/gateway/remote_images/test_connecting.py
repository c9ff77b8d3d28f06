"""From names to connections: asked once, every answer checked, connected to what was checked."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import httpcore
import pytest

from tests.unit.gateway.remote_images.conftest import Names, Network, OpenOrigin, wait_for
from vitrine.errors import ImageUrlFailed, ImageUrlRefused
from vitrine.gateway.remote_images.connecting import CheckedNetwork, SystemResolver
from vitrine.gateway.remote_images.networks import NetworkRules

PUBLIC, OTHER, SILENT = "93.184.215.14", "93.184.215.15", "93.184.215.16"


def checked(network: Network, *answers: list[str]) -> tuple[CheckedNetwork, Names]:
    names = Names({"name.example": answers})
    return CheckedNetwork(names, NetworkRules(()), network), names


async def test_the_connection_goes_to_the_address_that_was_checked(open_origin: OpenOrigin) -> None:
    origin, canary = await open_origin(), await open_origin()
    network = Network(routes={PUBLIC: origin.port})
    checking, names = checked(network, [PUBLIC], ["127.0.0.1"])
    stream = await checking.connect_tcp("name.example", canary.port)
    await stream.aclose()
    assert (names.asked, network.connected) == (["name.example"], [(PUBLIC, canary.port)])
    await wait_for(lambda: origin.connections == 1)

    with pytest.raises(ImageUrlRefused):
        await checking.connect_tcp("name.example", canary.port)
    assert len(network.connected) == 1
    assert canary.connections == 0


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fe80::1%lo"])
async def test_one_forbidden_answer_among_good_ones_refuses_the_host(bad: str, place: int) -> None:
    answer = [PUBLIC, OTHER]
    answer.insert(place, bad)
    network = Network()
    checking, _ = checked(network, answer)
    with pytest.raises(ImageUrlRefused) as caught:
        await checking.connect_tcp("name.example", 443)
    assert caught.value.details == {"reason": "network"}
    assert bad not in caught.value.message
    assert network.connected == []


async def test_a_forbidden_answer_far_down_the_list_counts_too() -> None:
    network = Network()
    checking, _ = checked(network, [f"93.184.215.{n}" for n in range(1, 200)] + ["127.0.0.1"])
    with pytest.raises(ImageUrlRefused):
        await checking.connect_tcp("name.example", 443)
    assert network.connected == []


async def test_the_operator_is_told_what_the_caller_is_not(caplog: pytest.LogCaptureFixture) -> None:
    checking, _ = checked(Network(), [PUBLIC, "10.0.0.1"])
    with pytest.raises(ImageUrlRefused):
        await checking.connect_tcp("name.example", 443)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.vitrine_fields == {"host": "name.example", "addresses": ["10.0.0.1"]}  # type: ignore[attr-defined]


async def test_a_silent_address_leaves_time_for_the_next(open_origin: OpenOrigin) -> None:
    origin = await open_origin()
    network = Network(routes={PUBLIC: origin.port}, silent=frozenset({SILENT}))
    checking, names = checked(network, [SILENT, PUBLIC])
    stream = await checking.connect_tcp("name.example", 443, timeout=0.2)
    await stream.aclose()
    assert network.connected == [(SILENT, 443), (PUBLIC, 443)]
    assert names.asked == ["name.example"]


async def test_only_so_many_addresses_are_tried() -> None:
    addresses = [f"93.184.215.{n}" for n in range(1, 100)]
    network = Network(silent=frozenset(addresses))
    checking, _ = checked(network, addresses)
    with pytest.raises(httpcore.ConnectTimeout):
        await checking.connect_tcp("name.example", 443, timeout=0.1)
    assert [host for host, _ in network.connected] == addresses[:4]


async def test_a_host_without_an_address_fails() -> None:
    checking, _ = checked(Network(), [])
    for host in ("name.example", "other.example"):
        with pytest.raises(ImageUrlFailed) as caught:
            await checking.connect_tcp(host, 443)
        assert caught.value.details == {"reason": "unresolved"}


async def test_a_socket_of_the_machine_cannot_be_reached() -> None:
    checking, _ = checked(Network(), [PUBLIC])
    with pytest.raises(NotImplementedError):
        await checking.connect_unix_socket("/run/some.sock")


async def test_the_systems_resolver_knows_this_machine() -> None:
    resolver = SystemResolver()
    try:
        addresses = await resolver("localhost")
    finally:
        resolver.close()
    assert ip_address("127.0.0.1") in addresses or ip_address("::1") in addresses
    assert len(addresses) == len(set(addresses))


async def test_a_name_server_that_does_not_answer_blocks_nobody_but_those_who_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    answers, begun = asyncio.Event(), 0

    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        nonlocal begun
        begun += 1
        asyncio.run_coroutine_threadsafe(answers.wait(), loop).result(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 0))]

    monkeypatch.setattr("vitrine.gateway.remote_images.connecting.socket.getaddrinfo", getaddrinfo)
    resolver = SystemResolver()
    waiting = [asyncio.create_task(resolver("slow.example")) for _ in range(12)]
    await wait_for(lambda: begun == 4)
    for task in waiting[4:]:
        task.cancel()
    answers.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    resolver.close()
    assert results[:4] == [[ip_address(PUBLIC)]] * 4
    assert all(isinstance(result, asyncio.CancelledError) for result in results[4:])
    assert begun == 4
