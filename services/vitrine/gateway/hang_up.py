"""Refusals that end the connection where a body is still on its way.

The server would otherwise go on to read, and throw away, whatever a refused caller keeps sending: without any end.
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A body of this size has mostly arrived with its head; to read it costs less than a new connection.
_SMALL_BYTES: Final = 64 * 1024


class HangUp:
    """Adds `Connection: close` to answers that begin before a large or chunked body was read to its end.

    Args:
        app: the next ASGI application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not announces_much(scope["headers"]):
            await self._app(scope, receive, send)
            return
        complete = False

        async def receive_noting_the_end() -> Message:
            nonlocal complete
            message = await receive()
            complete = not message.get("more_body", False)
            return message

        async def send_hanging_up(message: Message) -> None:
            if message["type"] == "http.response.start" and not complete:
                headers = [header for header in message.get("headers", ()) if header[0].lower() != b"connection"]
                message["headers"] = [*headers, (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive_noting_the_end, send_hanging_up)


def announces_much(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a body follows that is large, or whose size nobody knows."""
    for name, value in headers:
        if name == b"transfer-encoding":
            return True
        if name == b"content-length":
            # The server has refused what is no number.
            return int(value) > _SMALL_BYTES
    return False
