"""/metrics of a run, for as long as it lasts. A batch process has no web server; this is the little that it takes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final

from vitrine.indexer.metrics import IndexMetrics
from vitrine.settings import TelemetrySettings

PATH: Final = "/metrics"
MAX_CONNECTIONS: Final = 16
MAX_HEAD_BYTES: Final = 16 * 1024
# From connecting to the answer's last byte; Prometheus itself gives up after 10 s.
_CONNECTION_S: Final = 10.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def metrics_served(settings: TelemetrySettings, metrics: IndexMetrics) -> AsyncIterator[None]:
    """Answers scrapes while the block lasts, where a port is set.

    A port that cannot be had is told and nothing else: the run matters more than the figures about it.
    """
    if settings.metrics_port is None:
        yield
        return
    scrapes = _Scrapes(metrics)
    try:
        server = await asyncio.start_server(
            scrapes.answer, settings.metrics_host, settings.metrics_port, limit=MAX_HEAD_BYTES
        )
    except OSError as error:
        _log.warning(
            "Metrics of this run are not served: %s port %d cannot be listened on (%s).",
            settings.metrics_host,
            settings.metrics_port,
            error.strerror or error,
        )
        yield
        return
    try:
        yield
    finally:
        server.close()
        scrapes.end()


class _Scrapes:
    """Connections of scrapers: one request, one answer, and an end to each in any case."""

    def __init__(self, metrics: IndexMetrics) -> None:
        self._metrics = metrics
        self._open: set[asyncio.Task[None] | None] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(self._open) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open.add(task)
        try:
            # Besides slow ones these are callers that hang up, or send no request at all.
            with suppress(TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_CONNECTION_S):
                    writer.write(self._answer_to(await reader.readuntil(b"\r\n\r\n")))
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        finally:
            self._open.discard(task)
            writer.transport.abort()

    def end(self) -> None:
        """Hangs up on those that are left."""
        for task in self._open:
            if task is not None:
                task.cancel()

    def _answer_to(self, head: bytes) -> bytes:
        request, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = request.partition(" ")
        if rest.partition(" ")[0].partition("?")[0] != PATH:
            return _response(HTTPStatus.NOT_FOUND)
        if method != "GET":
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET")
        accept = ",".join(value.strip() for name, _, value in (line.partition(":") for line in lines) if _is(name))
        content, content_type = self._metrics.exposition(accept)
        return _response(HTTPStatus.OK, content, **{"Content-Type": content_type})


def _is(name: str) -> bool:
    return name.lower() == "accept"


def _response(status: HTTPStatus, content: bytes = b"", **headers: str) -> bytes:
    told = {**headers, "Content-Length": str(len(content)), "Cache-Control": "no-store", "Connection": "close"}
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content
