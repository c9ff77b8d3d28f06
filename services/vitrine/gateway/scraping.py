"""/metrics on a port of its own, so that a network can tell those who scrape from those who search.

Served in the process and the event loop of the API, but past its permits, its callers and its log: a gateway that
refuses everybody else still tells Prometheus why.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from vitrine.errors import SettingsInvalid
from vitrine.gateway.health import Readiness
from vitrine.settings import Settings
from vitrine.telemetry.metrics import GatewayMetrics

PATH: Final = "/metrics"
MAX_CONNECTIONS: Final = 32
"""More are hung up on at once. A scrape takes milliseconds, so a handful of scrapers never have two."""
MAX_HEAD_BYTES: Final = 16 * 1024
# From connecting to the answer's last byte, however slowly either side goes: a readiness check may take 2.25 s of it,
# and Prometheus itself gives up after 10 s.
_CONNECTION_S: Final = 15.0
_CLOSE_S: Final = 1


async def exposition(readiness: Readiness, metrics: GatewayMetrics, accept: str) -> Response:
    """The answer of /metrics, on whichever port.

    Args:
        readiness: asked first, so that the gauges of the dependencies are true even where nothing probes /readyz.
        metrics: what is told.
        accept: the scraper's `Accept` header; OpenMetrics, with its exemplars, for those who name it.
    """
    await readiness.checks()
    content, content_type = await asyncio.to_thread(metrics.exposition, accept)
    return Response(content, headers={"Content-Type": content_type, "Cache-Control": "no-store"})


def bind_metrics_port(settings: Settings) -> socket.socket | None:
    """Takes the port before anything else is opened; None when /metrics stays with the API.

    Raises:
        SettingsInvalid: the port is the API's, or cannot be listened on.
    """
    host, port = settings.telemetry.metrics_host, settings.telemetry.metrics_port
    if port is None:
        return None
    if port == settings.gateway.port:
        raise SettingsInvalid(f"VITRINE_TELEMETRY__METRICS_PORT: {port} is the API's own port (VITRINE_GATEWAY__PORT).")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise SettingsInvalid(
            f"VITRINE_TELEMETRY__METRICS_PORT: {host} port {port} cannot be listened on: {reason}."
        ) from error


@asynccontextmanager
async def serve_metrics(listening: socket.socket, readiness: Readiness, metrics: GatewayMetrics) -> AsyncIterator[None]:
    """Answers scrapes while the block lasts, also while the API drains; then closes the socket."""

    async def scrape(request: Request) -> Response:
        return await exposition(readiness, metrics, request.headers.get("accept", ""))

    app = Starlette(routes=[Route(PATH, scrape, methods=["GET"])])
    app.router.redirect_slashes = False
    config = uvicorn.Config(
        app,
        http=_ScrapeConnection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[("Connection", "close"), ("X-Content-Type-Options", "nosniff")],
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        timeout_graceful_shutdown=_CLOSE_S,
    )
    config.load()
    # Neither `serve` nor `run`: the signals are the API server's, and this one ends when the API has.
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    server.server_state.default_headers = config.encoded_headers  # otherwise set by the loop that is not run
    await server.startup(sockets=[listening])
    try:
        yield
    finally:
        await server.shutdown(sockets=[listening])


class _ScrapeConnection(H11Protocol):
    """One request, one answer, and an end to it in any case. uvicorn itself waits for ever for a head to arrive."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._end = self.loop.call_later(_CONNECTION_S, transport.abort)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        super().connection_lost(exc)
