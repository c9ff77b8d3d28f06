import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import closing, suppress

import httpx
import pytest

from vitrine.indexer import scraping
from vitrine.indexer.metrics import IndexMetrics
from vitrine.indexer.scraping import MAX_CONNECTIONS, MAX_HEAD_BYTES, metrics_served
from vitrine.local.ports import choose_free
from vitrine.settings import TelemetrySettings


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where the metrics of a run are served meanwhile."""
    (port,) = choose_free(1)
    async with metrics_served(TelemetrySettings(metrics_port=port), IndexMetrics("1.2.3")):
        yield port


async def _ask(port: int, request: bytes) -> bytes:
    """What comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_scraper_gets_the_format_it_prefers(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        plain = await client.get("/metrics")
        open_metrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert (plain.status_code, open_metrics.status_code) == (200, 200)
    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert 'vitrine_index_rows_total{outcome="written"} 0.0' in plain.text
    assert open_metrics.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /metrics?x=1 HTTP/1.1", b"200 OK"),
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"GET /metrics/../etc/passwd HTTP/1.1", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed"),
        (b"\x16\x03\x01 nonsense", b"404 Not Found"),
        (b"", b"404 Not Found"),
    ],
)
async def test_anything_else_is_refused(port: int, request_line: bytes, status: bytes) -> None:
    answer = await _ask(port, request_line + b"\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)


async def test_a_head_without_end_is_hung_up_on(port: int) -> None:
    assert await _ask(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * (4 * MAX_HEAD_BYTES)) == b""
    assert (await _ask(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200")


async def test_a_caller_who_says_nothing_is_hung_up_on(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "_CONNECTION_S", 0.05)
    assert await _ask(port, b"GET /metr") == b""


async def test_more_connections_than_a_scraper_needs_are_hung_up_on(port: int) -> None:
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS)]
    assert await _ask(port, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
    for _, writer in silent:
        writer.close()


async def test_connections_end_with_the_run() -> None:
    (port,) = choose_free(1)
    async with metrics_served(TelemetrySettings(metrics_port=port), IndexMetrics("1")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /metr")
        await asyncio.sleep(0.05)
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_without_a_port_nothing_listens() -> None:
    async with metrics_served(TelemetrySettings(), IndexMetrics("1")):
        pass


async def test_a_port_in_use_is_told_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken, caplog.at_level(logging.WARNING):
        async with metrics_served(TelemetrySettings(metrics_port=taken.getsockname()[1]), IndexMetrics("1")):
            pass
    assert "not served" in caplog.text
