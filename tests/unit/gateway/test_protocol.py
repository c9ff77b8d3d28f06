"""Head and body of an answer in one packet, seen on a transport that records what it is given."""

import asyncio

import pytest

from vitrine.gateway.protocol import _HeadJoining

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Transport(asyncio.Transport):
    """Records."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
async def transport() -> Transport:
    return Transport()


@pytest.fixture
async def joining(transport: Transport) -> _HeadJoining:
    return _HeadJoining(transport, asyncio.get_running_loop())


async def test_a_body_that_follows_at_once_goes_with_its_head(joining: _HeadJoining, transport: Transport) -> None:
    joining.write(HEAD)
    joining.write(b"{}")
    await asyncio.sleep(0)
    assert transport.written == [HEAD + b"{}"]


async def test_a_head_does_not_wait_for_a_body_that_takes_its_time(joining: _HeadJoining, transport: Transport) -> None:
    joining.write(HEAD)
    assert transport.written == []
    await asyncio.sleep(0)
    assert transport.written == [HEAD]
    joining.write(b"{}")
    joining.write(b"more")
    assert transport.written == [HEAD, b"{}", b"more"]


async def test_answers_of_one_connection_follow_each_other(joining: _HeadJoining, transport: Transport) -> None:
    for body in (b"1", b"2"):
        joining.write(HEAD)
        joining.write(body)
    assert transport.written == [HEAD + b"1", HEAD + b"2"]


async def test_what_was_written_is_sent_before_the_connection_closes(
    joining: _HeadJoining, transport: Transport
) -> None:
    joining.write(HEAD)
    joining.close()
    assert (transport.written, transport.closed) == ([HEAD], True)
    await asyncio.sleep(0)
    assert transport.written == [HEAD]
