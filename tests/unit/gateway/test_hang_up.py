import pytest
from starlette.types import Message, Receive, Scope, Send

from vitrine.gateway.hang_up import HangUp

CHUNKED = [(b"transfer-encoding", b"chunked")]
LARGE = [(b"content-length", b"100000")]
SMALL = [(b"content-length", b"1000")]


async def answered(headers: list[tuple[bytes, bytes]], *, read: bool) -> bool:
    """Whether the answer of an application that reads the body, or does not, closes the connection."""
    sent: list[Message] = []
    arriving = [{"type": "http.request", "body": b"a", "more_body": more} for more in (True, False)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while read and (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 401, "headers": [(b"Connection", b"keep-alive")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return arriving.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await HangUp(app)({"type": "http", "headers": headers}, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return (b"connection", b"close") in sent[0]["headers"]


@pytest.mark.parametrize("headers", [CHUNKED, LARGE])
async def test_an_answer_before_the_end_of_a_large_body_hangs_up(headers: list[tuple[bytes, bytes]]) -> None:
    assert await answered(headers, read=False)
    assert not await answered(headers, read=True)


@pytest.mark.parametrize("headers", [SMALL, []])
async def test_a_small_body_is_no_reason_to_hang_up(headers: list[tuple[bytes, bytes]]) -> None:
    assert not await answered(headers, read=False)
