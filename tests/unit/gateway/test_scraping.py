"""Metrics on a port of their own, over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import httpx
import pytest

from tests.unit.gateway.conftest import Api
from vitrine.errors import SettingsInvalid
from vitrine.gateway import scraping
from vitrine.gateway.app import create_app
from vitrine.gateway.scraping import bind_metrics_port, serve_metrics
from vitrine.local.ports import choose_free
from vitrine.settings import AuthSettings, GatewaySettings, Settings, TelemetrySettings


def _settings(metrics_port: int, **telemetry: str) -> Settings:
    return Settings(
        telemetry=TelemetrySettings(metrics_port=metrics_port, **telemetry),  # type: ignore[arg-type]
        auth=AuthSettings(mode="off"),
    )


@dataclass
class Scraped:
    """An application's metrics on a port, and a client of it."""

    api: Api
    port: int
    client: httpx.AsyncClient

    async def told(self, head: bytes) -> bytes:
        """All that is answered to some bytes, until the other side closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(head)
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            writer.close()


@pytest.fixture
async def scraped(api: Api) -> AsyncIterator[Scraped]:
    (port,) = choose_free(1)
    listening = bind_metrics_port(_settings(port))
    assert listening is not None
    async with (
        serve_metrics(listening, api.services.readiness, api.metrics),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield Scraped(api, port, client)


async def test_metrics_are_told_as_on_the_api_port(scraped: Scraped) -> None:
    plain = await scraped.client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "vitrine_ready 1.0" in plain.text
    openmetrics = await scraped.client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


async def test_a_scrape_asks_the_dependencies(scraped: Scraped) -> None:
    await scraped.client.get("/metrics")
    assert scraped.api.searcher.readiness_asked == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("DELETE", "/metrics", 405),
        ("GET", "/", 404),
        ("GET", "/metrics/", 404),
        ("GET", "/v1/limits", 404),
        ("GET", "/livez", 404),
    ],
)
async def test_nothing_else_is_there(scraped: Scraped, method: str, path: str, status: int) -> None:
    answer = await scraped.client.request(method, path)
    assert (answer.status_code, answer.headers["connection"]) == (status, "close")


async def test_a_scrape_needs_no_permit_and_is_no_request_of_the_api(scraped: Scraped) -> None:
    before = scraped.api.metrics.registry.get_sample_value
    assert (await scraped.client.get("/metrics")).status_code == 200
    assert not before("vitrine_http_requests_total", {"route": "/metrics", "method": "GET", "status": "2xx"})


async def test_draining_is_told(scraped: Scraped) -> None:
    scraped.api.services.readiness.drain()
    assert "vitrine_ready 0.0" in (await scraped.client.get("/metrics")).text


async def test_a_head_without_an_end_is_cut_off(scraped: Scraped) -> None:
    endless = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * (scraping.MAX_HEAD_BYTES + 1)
    assert (await scraped.told(endless)).startswith(b"HTTP/1.1 400 ")


async def test_bytes_that_are_no_request_are_refused(scraped: Scraped) -> None:
    assert (await scraped.told(b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_never_asks_is_hung_up_on(scraped: Scraped, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scraping, "_CONNECTION_S", 0.05)
    assert await scraped.told(b"GET /metrics HTTP/1.1\r\n") == b""


async def test_connections_above_the_limit_are_hung_up_on_and_places_come_back(scraped: Scraped) -> None:
    held = [await asyncio.open_connection("127.0.0.1", scraped.port) for _ in range(scraping.MAX_CONNECTIONS)]
    assert await scraped.told(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
    for _, writer in held:
        await writer.wait_closed()

    async def answers() -> bool:
        return b" 200 OK" in await scraped.told(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

    await _soon(answers)


async def _soon(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def test_the_port_is_free_again_when_the_application_has_ended(api: Api) -> None:
    (port,) = choose_free(1)
    for _ in range(2):
        listening = bind_metrics_port(_settings(port))
        assert listening is not None
        async with serve_metrics(listening, api.services.readiness, api.metrics):
            pass


def test_without_a_port_nothing_is_bound() -> None:
    assert bind_metrics_port(Settings()) is None


def test_a_port_in_use_is_told_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=rf"METRICS_PORT: 127\.0\.0\.1 port {port} .* in use\.$"):
            bind_metrics_port(_settings(port))


def test_an_address_of_another_machine_is_told_with_its_setting() -> None:
    (port,) = choose_free(1)
    with pytest.raises(SettingsInvalid, match=r"METRICS_PORT: 203\.0\.113\.1 port"):
        bind_metrics_port(_settings(port, metrics_host="203.0.113.1"))


def test_the_api_port_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="is the API's own port"):
        bind_metrics_port(_settings(GatewaySettings().port))


async def test_with_a_port_of_their_own_metrics_are_no_part_of_the_api() -> None:
    app = create_app(_settings(9090))
    assert "/metrics" not in app.openapi()["paths"]
    assert "/livez" in app.openapi()["paths"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")
