"""Fetching pictures from servers that mean well, and from others."""

import asyncio
import contextlib
import gzip
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.gateway.remote_images.conftest import (
    HOST,
    LOOPBACK,
    PICTURE,
    Names,
    Network,
    OpenFetching,
    OpenOrigin,
    Origin,
    Serve,
    answer,
    redirect,
    wait_for,
)
from vitrine.domain import Deadline
from vitrine.errors import DeadlineExceeded, ImageUrlFailed, ImageUrlRefused, SettingsInvalid
from vitrine.gateway.remote_images.fetching import RemoteImages, open_remote_images
from vitrine.settings import ImageSettings, RemoteImageSettings

PUBLIC = "93.184.215.14"
LIMIT = 100_000
TLS = httpx.create_ssl_context()


def url(origin: Origin, path: str = "/a.jpg", host: str = HOST, scheme: str = "http") -> str:
    return f"{scheme}://{host}:{origin.port}{path}"


async def test_a_picture_is_fetched(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin({"/a.jpg?w=5": answer()})
    fetching = open_fetching([origin.port])
    assert await fetching.fetch(url(origin, "/a.jpg?w=5")) == PICTURE


async def test_nothing_is_sent_but_what_the_request_needs(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin({"/a.jpg": answer(Set_Cookie="track=1")})
    fetching = open_fetching([origin.port])
    for _ in range(2):
        await fetching.fetch(url(origin))
    expected = (
        f"GET /a.jpg HTTP/1.1\r\nHost: {HOST}:{origin.port}\r\nUser-Agent: Vitrine\r\n"
        "Accept: image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff\r\n"
        "Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    ).encode()
    assert origin.requests == [expected, expected]


async def test_proxies_of_the_environment_are_not_used(
    open_origin: OpenOrigin, open_fetching: OpenFetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin, canary = await open_origin({"/a.jpg": answer()}), await open_origin()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    assert await open_fetching([origin.port]).fetch(url(origin)) == PICTURE
    assert canary.connections == 0


async def test_a_name_is_asked_once_for_each_picture(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin({"/a.jpg": answer()})
    fetching = open_fetching([origin.port])
    for _ in range(3):
        await fetching.fetch(url(origin))
    assert (origin.connections, fetching.names.asked) == (3, [HOST] * 3)
    await wait_for(lambda: not origin.open)


async def test_connections_are_bounded(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    open_now, most = 0, 0

    async def count(origin: Origin, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await asyncio.sleep(0.02)
        open_now -= 1
        await origin.send(writer, answer())

    origin = await open_origin({"/a.jpg": count})
    fetching = open_fetching([origin.port])
    assert await asyncio.gather(*(fetching.fetch(url(origin)) for _ in range(40))) == [PICTURE] * 40
    assert 8 <= most <= 16


# --- addresses that are refused: nobody is connected to


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "0251.0376.0251.0376",
        "[::ffff:169.254.169.254]",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
        "localhost.",
        "rebound.example.com",
        f"{HOST}@127.0.0.1",
    ],
)
@pytest.mark.parametrize("by_redirect", [False, True])
async def test_no_spelling_of_this_machine_is_connected_to(
    open_origin: OpenOrigin, open_fetching: OpenFetching, host: str, by_redirect: bool
) -> None:
    """Hosts and port are allowed by the settings; only what they stand for is not."""
    canary = await open_origin({"/a.jpg": answer()})
    origin = await open_origin({"/a.jpg": redirect(url(canary, host=host))})
    network = Network(routes={PUBLIC: origin.port})
    fetching = open_fetching(
        [origin.port, canary.port],
        hosts=("*.example.com", "localhost"),
        private_networks=(),
        network=network,
        names={HOST: [[PUBLIC]], "rebound.example.com": [["127.0.0.1"]], "localhost": [["127.0.0.1", "::1"]]},
    )
    with pytest.raises(ImageUrlRefused) as caught:
        await fetching.fetch(url(origin) if by_redirect else url(canary, host=host))
    assert caught.value.details["reason"] in {"numeric_host", "network", "malformed"}
    assert network.connected == ([(PUBLIC, origin.port)] if by_redirect else [])
    assert canary.connections == 0


async def test_the_canary_is_there(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    """What the test before would see if its fetcher were less careful: the same place, with loopback allowed."""
    canary = await open_origin({"/a.jpg": answer()})
    fetching = open_fetching([canary.port], hosts=("localhost",), names={"localhost": [["127.0.0.1"]]})
    assert await fetching.fetch(url(canary, host="localhost")) == PICTURE
    assert canary.connections == 1


async def test_a_name_that_changes_its_mind_is_asked_once_and_not_followed(
    open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    """Checked as public, it would be this machine by the time it is looked up for the connection."""
    canary, origin = await open_origin({"/a.jpg": answer()}), await open_origin()
    origin.paths["/a.jpg"] = answer()
    network = Network(routes={PUBLIC: origin.port})
    fetching = open_fetching(
        [canary.port], names={HOST: [[PUBLIC], ["127.0.0.1"]]}, private_networks=(), network=network
    )
    assert await fetching.fetch(url(canary)) == PICTURE
    assert (fetching.names.asked, network.connected) == ([HOST], [(PUBLIC, canary.port)])

    with pytest.raises(ImageUrlRefused) as caught:
        await fetching.fetch(url(canary))
    assert caught.value.details == {"reason": "network"}
    assert len(network.connected) == 1
    assert canary.connections == 0


async def test_a_name_that_changes_its_mind_between_redirects_is_refused(
    open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    canary, origin = await open_origin({"/b.jpg": answer()}), await open_origin()
    origin.paths["/a.jpg"] = redirect("/b.jpg")
    network = Network(routes={PUBLIC: origin.port})
    fetching = open_fetching(
        [canary.port], names={HOST: [[PUBLIC], ["127.0.0.1"]]}, private_networks=(), network=network
    )
    with pytest.raises(ImageUrlRefused):
        await fetching.fetch(url(canary))
    assert network.connected == [(PUBLIC, canary.port)]
    assert canary.connections == 0


async def test_a_host_that_is_not_listed_is_not_even_looked_up(open_fetching: OpenFetching) -> None:
    fetching = open_fetching([80], private_networks=())
    with pytest.raises(ImageUrlRefused):
        await fetching.fetch("http://secret.internal/")
    assert fetching.names.asked == []


# --- redirects


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_redirects_are_followed(open_origin: OpenOrigin, open_fetching: OpenFetching, status: str) -> None:
    origin = await open_origin({"/a.jpg": redirect("b/c.jpg", status), "/b/c.jpg": answer()})
    assert await open_fetching([origin.port]).fetch(url(origin)) == PICTURE


async def test_a_redirect_may_lead_to_another_listed_host(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    other = await open_origin({"/a.jpg": answer()})
    origin = await open_origin({"/a.jpg": redirect(url(other, host="b.example.com"))})
    fetching = open_fetching(
        [origin.port, other.port],
        hosts=("*.example.com",),
        names={HOST: [["127.0.0.1"]], "b.example.com": [["127.0.0.1"]]},
    )
    assert await fetching.fetch(url(origin)) == PICTURE
    assert fetching.names.asked == [HOST, "b.example.com"]


async def test_a_redirect_to_a_host_that_is_not_listed_is_refused_and_not_told(
    open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    origin = await open_origin({"/a.jpg": redirect("http://secret.internal/token")})
    fetching = open_fetching([origin.port, 80])
    with pytest.raises(ImageUrlRefused) as caught:
        await fetching.fetch(url(origin))
    assert caught.value.details == {"reason": "host"}
    assert "secret" not in caught.value.message
    assert fetching.names.asked == [HOST]


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_redirects_are_limited(open_origin: OpenOrigin, open_fetching: OpenFetching, most: int) -> None:
    paths: dict[str, bytes | Serve] = {f"/{n}": redirect(f"/{n + 1}") for n in range(most + 1)}
    origin = await open_origin({**paths, f"/{most + 1}": answer()})
    fetching = open_fetching([origin.port], max_redirects=most)
    assert await fetching.fetch(url(origin, "/1")) == PICTURE
    with pytest.raises(ImageUrlFailed) as caught:
        await fetching.fetch(url(origin, "/0"))
    assert caught.value.details == {"reason": "redirects", "maximum": most}


async def test_a_redirect_to_itself_ends(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin({"/a.jpg": redirect("/a.jpg")})
    with pytest.raises(ImageUrlFailed) as caught:
        await open_fetching([origin.port]).fetch(url(origin))
    assert caught.value.details["reason"] == "redirects"
    assert len(origin.requests) == 4


async def test_a_redirect_to_nowhere_fails(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin({"/a.jpg": answer(b"", "302 Found")})
    with pytest.raises(ImageUrlFailed) as caught:
        await open_fetching([origin.port]).fetch(url(origin))
    assert caught.value.details == {"reason": "protocol"}


# --- servers that do not do as they should


def _flood(piece: bytes, head: bytes) -> Serve:
    async def serve(origin: Origin, writer: asyncio.StreamWriter) -> None:
        await origin.send(writer, head)
        while not origin.over.is_set():
            await origin.send(writer, piece)

    return serve


async def _slow(origin: Origin, writer: asyncio.StreamWriter) -> None:
    await origin.send(writer, answer(PICTURE, Content_Length="1000"))
    await origin.over.wait()


async def _dripping(origin: Origin, writer: asyncio.StreamWriter) -> None:
    await origin.send(writer, b"HTTP/1.1 200 OK\r\n\r\n")
    while not origin.over.is_set():
        await origin.send(writer, b"x")
        await asyncio.sleep(0.02)


async def _mute(origin: Origin, writer: asyncio.StreamWriter) -> None:
    await origin.over.wait()


async def _hangs_up(origin: Origin, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _cut(origin: Origin, writer: asyncio.StreamWriter) -> None:
    await origin.send(writer, answer(PICTURE, Content_Length="1000"))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    ("told", "details"),
    [
        (answer(b"", "404 Not Found"), {"reason": "status", "status": 404}),
        (answer(b"", "206 Partial Content"), {"reason": "status", "status": 206}),
        (answer(b"", "204 No Content"), {"reason": "status", "status": 204}),
        (answer(b"", "304 Not Modified"), {"reason": "status", "status": 304}),
        (answer(b"", "500 Oops"), {"reason": "status", "status": 500}),
        (answer(bytes(LIMIT + 1)), {"reason": "size", "max_bytes": LIMIT}),
        (answer(b"", Content_Length="99999999999999"), {"reason": "size", "max_bytes": LIMIT}),
        (answer(BOMB, Content_Encoding="gzip"), {"reason": "encoding"}),
        (answer(BOMB, Content_Encoding="identity, GZIP"), {"reason": "encoding"}),
        (answer(BOMB, Transfer_Encoding="gzip, chunked"), {"reason": "protocol"}),
        (answer(b"", Content_Length="-1"), {"reason": "protocol"}),
        (answer(b"", Content_Length="9" * 5_000), {"reason": "protocol"}),
        (answer(b"", "101 Switching Protocols"), {"reason": "protocol"}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc", {"reason": "protocol"}),
        (b"\x16\x03\x01\x02 no HTTP at all\r\n\r\n", {"reason": "protocol"}),
        (CHUNKED + b"zz\r\n", {"reason": "protocol"}),
        (_flood(b"x" * 65_536, b"HTTP/1.1 200 OK\r\n\r\n"), {"reason": "size", "max_bytes": LIMIT}),
        (_flood(b"8000\r\n" + b"x" * 0x8000 + b"\r\n", CHUNKED), {"reason": "size", "max_bytes": LIMIT}),
        (_flood(b"1\r\nx\r\n" * 1_000, CHUNKED), {"reason": "protocol"}),
        (_flood(b"X-More: " + b"x" * 60_000 + b"\r\n", b"HTTP/1.1 200 OK\r\n"), {"reason": "protocol"}),
        (_flood(b"HTTP/1.1 100 Continue\r\n\r\n", b""), {"reason": "timeout", "timeout_s": 1.0}),
        (_slow, {"reason": "timeout", "timeout_s": 1.0}),
        (_dripping, {"reason": "timeout", "timeout_s": 1.0}),
        (_mute, {"reason": "timeout", "timeout_s": 1.0}),
        (_hangs_up, {"reason": "protocol"}),
        (_cut, {"reason": "protocol"}),
    ],
    ids=lambda value: value["reason"] if isinstance(value, dict) else "",
)
async def test_a_bad_answer_fails_for_its_reason(
    open_origin: OpenOrigin, open_fetching: OpenFetching, told: bytes | Serve, details: dict[str, object]
) -> None:
    origin = await open_origin({"/a.jpg": told, "/good.jpg": answer()})
    fetching = open_fetching([origin.port], max_bytes=LIMIT, timeout_s=1.0)
    with pytest.raises(ImageUrlFailed) as caught:
        await fetching.fetch(url(origin))
    assert caught.value.details == details
    # What the sockets hold counts too; a careless reader would have taken all there is.
    assert origin.bytes_sent < 16_000_000
    assert await fetching.fetch(url(origin, "/good.jpg")) == PICTURE


@dataclass
class Spoken(httpcore.AsyncNetworkBackend):
    """Every connection says the same, whatever it is told."""

    said: list[bytes]

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        return httpcore.AsyncMockStream(list(self.said))


HEADS = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 302 Found\r\nLocation: ", b"HTTP/1.1 101 Yes\r\n", b"HTTP/1.0 200\r\n", b""]
LINES = [b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: ", b"\r\n\r\n", b"5\r\nhello\r\n"]


@given(st.sampled_from(HEADS), st.lists(st.sampled_from(LINES) | st.binary(max_size=12) | st.just(b"9"), max_size=12))
@settings(deadline=None, max_examples=300)
async def test_whatever_a_server_says_is_a_picture_or_a_failure(head: bytes, said: list[bytes]) -> None:
    names = Names({HOST: [[PUBLIC]]})
    images = RemoteImages(
        RemoteImageSettings(hosts=(HOST,), schemes=("http",), ports=(80,)), LIMIT, names, Spoken([head, *said]), TLS
    )
    with contextlib.suppress(ImageUrlFailed, ImageUrlRefused):
        assert isinstance(await images.fetch(f"http://{HOST}/a.jpg", Deadline.after(20)), bytes)


async def test_a_picture_of_just_the_size_is_taken(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin({"/a.jpg": answer(bytes(LIMIT))})
    assert len(await open_fetching([origin.port], max_bytes=LIMIT).fetch(url(origin))) == LIMIT


async def test_chunks_and_an_unnamed_end_are_read(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    async def unnamed(origin: Origin, writer: asyncio.StreamWriter) -> None:
        await origin.send(writer, b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE)

    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (PICTURE[:5], PICTURE[5:])) + b"0\r\n\r\n"
    origin = await open_origin({"/a.jpg": CHUNKED + chunks, "/b.jpg": unnamed})
    fetching = open_fetching([origin.port])
    assert await fetching.fetch(url(origin)) == await fetching.fetch(url(origin, "/b.jpg")) == PICTURE


async def test_nobody_listening_fails(open_origin: OpenOrigin, open_fetching: OpenFetching) -> None:
    origin = await open_origin()
    await origin.stop()
    with pytest.raises(ImageUrlFailed) as caught:
        await open_fetching([origin.port]).fetch(url(origin))
    assert caught.value.details == {"reason": "connection"}


async def test_a_silent_address_fails_in_time(open_fetching: OpenFetching) -> None:
    network = Network(silent=frozenset({PUBLIC}))
    fetching = open_fetching([80], names={HOST: [[PUBLIC]]}, network=network, timeout_s=0.2)
    with pytest.raises(ImageUrlFailed) as caught:
        await fetching.fetch(f"http://{HOST}/a.jpg")
    assert caught.value.details["reason"] == "timeout"


async def test_a_name_server_that_does_not_answer_fails_in_time(open_fetching: OpenFetching) -> None:
    fetching = open_fetching([80], timeout_s=0.2)
    fetching.names.silent.add(HOST)
    with pytest.raises(ImageUrlFailed) as caught:
        await fetching.fetch(f"http://{HOST}/a.jpg")
    assert caught.value.details["reason"] == "timeout"


@pytest.mark.parametrize("told", [_slow, _mute])
async def test_the_requests_own_deadline_is_told_as_such(
    open_origin: OpenOrigin, open_fetching: OpenFetching, told: Serve
) -> None:
    origin = await open_origin({"/a.jpg": told})
    with pytest.raises(DeadlineExceeded):
        await open_fetching([origin.port], timeout_s=5).fetch(url(origin), within_s=0.2)


async def test_a_deadline_that_has_passed_connects_to_nobody(
    open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    origin = await open_origin({"/a.jpg": answer()})
    fetching = open_fetching([origin.port])
    with pytest.raises(DeadlineExceeded):
        await fetching.fetch(url(origin), within_s=-1)
    assert fetching.names.asked == []


async def test_fetches_that_were_given_up_leave_nothing_behind(
    open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    """Far more than there are permits, in all states: each one lost would be missed."""
    origin = await open_origin({"/slow.jpg": _slow, "/mute.jpg": _mute, "/a.jpg": answer()})
    fetching = open_fetching([origin.port])
    addresses = [url(origin, "/slow.jpg"), url(origin, "/mute.jpg")] * 32
    for pause in (0.0, 0.002, 0.05):
        tasks = [asyncio.create_task(fetching.fetch(address)) for address in addresses]
        await asyncio.sleep(pause)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
    assert await asyncio.gather(*(fetching.fetch(url(origin)) for _ in range(32))) == [PICTURE] * 32


async def test_failures_are_logged_with_the_host_and_the_reason(
    open_origin: OpenOrigin, open_fetching: OpenFetching, caplog: pytest.LogCaptureFixture
) -> None:
    origin = await open_origin({"/private-token": answer(b"", "403 Forbidden")})
    with caplog.at_level("INFO", "vitrine"), pytest.raises(ImageUrlFailed):
        await open_fetching([origin.port]).fetch(url(origin, "/private-token"))
    (record,) = caplog.records
    assert record.vitrine_fields == {"host": HOST, "reason": "status"}  # type: ignore[attr-defined]
    assert "token" not in str(record.__dict__)


# --- as the settings have it


async def test_without_hosts_there_is_no_fetching() -> None:
    async with open_remote_images(RemoteImageSettings(), ImageSettings()) as images:
        assert images is None


@pytest.mark.parametrize("changed", [{"hosts": ("127.0.0.1",)}, {"private_networks": ("10.0.0.1/8",)}])
async def test_settings_that_cannot_be_read_end_the_start(changed: dict[str, tuple[str, ...]]) -> None:
    told = RemoteImageSettings.model_validate({"hosts": (HOST,), **changed})
    with pytest.raises(SettingsInvalid):
        async with open_remote_images(told, ImageSettings()):
            pass


async def test_the_machines_own_names_are_resolved(open_origin: OpenOrigin) -> None:
    origin = await open_origin({"/a.jpg": answer()})
    told = RemoteImageSettings(
        hosts=("localhost",), schemes=("http",), ports=(origin.port,), private_networks=(*LOOPBACK, "::1/128")
    )
    async with open_remote_images(told, ImageSettings()) as images:
        assert images is not None
        assert await images.fetch(url(origin, host="localhost"), Deadline.after(20)) == PICTURE
    async with open_remote_images(told.model_copy(update={"private_networks": ()}), ImageSettings()) as images:
        assert images is not None
        with pytest.raises(ImageUrlRefused):
            await images.fetch(url(origin, host="localhost"), Deadline.after(20))
