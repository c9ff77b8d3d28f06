"""Pictures by address, fetched by a gateway process from servers on loopback; names are the system's own."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import PRODUCTS
from tests.fixtures.serving import RunningGateway
from tests.fixtures.stack import RunningStack


class Host:
    """A web server on loopback. Counts connections; `paths` are bodies, `redirects` lead elsewhere."""

    def __init__(self) -> None:
        self.paths: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.connections = 0
        self.bytes_sent = 0
        self.over = threading.Event()
        host = self

        class Answering(BaseHTTPRequestHandler):
            def setup(self) -> None:
                host.connections += 1
                super().setup()

            def do_GET(self) -> None:
                host.answer(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                """Nothing on standard error."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def url(self, path: str, host: str = "localhost") -> str:
        return f"http://{host}:{self.port}{path}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[request.path])
            request.end_headers()
        elif request.path in ("/slow", "/endless"):
            request.send_response(200)
            request.end_headers()
            self._go_on(request, b"x" if request.path == "/slow" else b"x" * 65_536)
        elif request.path in self.paths:
            request.send_response(200)
            request.end_headers()
            request.wfile.write(self.paths[request.path])
        else:
            request.send_error(404)

    def _go_on(self, request: BaseHTTPRequestHandler, piece: bytes) -> None:
        try:
            while not self.over.wait(0.02 if len(piece) == 1 else 0):
                request.wfile.write(piece)
                self.bytes_sent += len(piece)
        except ConnectionError:
            pass

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def host(shop: Path) -> Iterator[Host]:
    """Has the picture of a product, and other things."""
    host = Host()
    host.paths = {
        "/product.jpg": (shop / "images" / PRODUCTS[7][:3] / f"{PRODUCTS[7]}.jpg").read_bytes(),
        "/page.jpg": b"<!doctype html><html><body>404</body></html>",
        "/drawing.jpg": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    yield host
    host.stop()


@pytest.fixture
def canary() -> Iterator[Host]:
    """Nobody may connect to it."""
    canary = Host()
    yield canary
    canary.stop()


def _environment(ports: list[int], **settings: object) -> dict[str, str]:
    told = {"hosts": ["localhost"], "schemes": ["http"], "ports": ports, "timeout_s": 1.0, **settings}
    return {
        f"VITRINE_REMOTE_IMAGES__{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in told.items()
    }


@pytest.fixture(scope="module")
def fetching(stack: RunningStack, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that may fetch from `localhost`, on the port of `host`, inside loopback."""
    environment = _environment([host.port], private_networks=["127.0.0.0/8", "::1/128"])
    gateway = RunningGateway(stack.settings, tmp_path_factory.mktemp("fetching") / "log", environment=environment)
    gateway.wait_alive()
    yield gateway
    gateway.stop()


def test_a_picture_is_searched_by_its_address(fetching: RunningGateway, host: Host) -> None:
    hit = fetching.search([{"image": host.url("/product.jpg")}], limit=1).json()["hits"][0]
    assert hit["id"] == PRODUCTS[7]
    assert hit["score"] == pytest.approx(1.0, abs=1e-3)


def test_a_redirect_is_followed(fetching: RunningGateway, host: Host) -> None:
    host.redirects["/moved.jpg"] = "/product.jpg"
    assert fetching.ids([{"image": host.url("/moved.jpg")}], limit=1) == [PRODUCTS[7]]


@pytest.mark.parametrize(
    ("path", "status", "code", "details"),
    [
        ("/page.jpg", 422, "image_unrecognised", None),
        ("/drawing.jpg", 415, "image_format_unsupported", {"format": "SVG"}),
        ("/nothing.jpg", 422, "image_url_failed", {"reason": "status", "status": 404}),
        ("/slow", 422, "image_url_failed", {"reason": "timeout", "timeout_s": 1.0}),
        ("/endless", 422, "image_url_failed", {"reason": "size", "max_bytes": 8 * 1024 * 1024}),
    ],
)
def test_what_is_no_picture_is_refused_in_time(
    fetching: RunningGateway, host: Host, path: str, status: int, code: str, details: dict[str, object] | None
) -> None:
    began, sent_before = time.monotonic(), host.bytes_sent
    response = fetching.search([{"image": host.url(path)}])
    problem = response.json()
    assert (response.status_code, problem["code"], problem.get("details")) == (status, code, details), problem
    assert time.monotonic() - began < 10
    # 8 MiB, and what the sockets on both sides hold.
    assert host.bytes_sent - sent_before < 32 * 1024 * 1024
    assert fetching.search("dress").status_code == 200


@pytest.mark.parametrize(
    "where",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://0251.0376.0251.0376/",
        "http://[::ffff:127.0.0.1]:{port}/product.jpg",
        "http://127.0.0.1:{port}/product.jpg",
        "http://127.1:{port}/product.jpg",
        "http://2130706433:{port}/product.jpg",
        "http://localhost@127.0.0.1:{port}/product.jpg",
        "http://localhost:{port}/product.jpg",
        "https://localhost:{port}/product.jpg",
        "ftp://localhost:{port}/product.jpg",
        "file:///etc/passwd",
    ],
)
@pytest.mark.parametrize("by_redirect", [False, True])
def test_no_spelling_leads_to_a_port_that_is_not_allowed(
    fetching: RunningGateway, host: Host, canary: Host, where: str, by_redirect: bool
) -> None:
    address = where.format(port=canary.port)
    host.redirects["/away.jpg"] = address
    response = fetching.search([{"image": host.url("/away.jpg") if by_redirect else address}])
    assert (response.status_code, response.json()["code"]) == (422, "image_url_refused"), response.text
    assert str(canary.port) not in response.json()["detail"] or not by_redirect
    assert canary.connections == 0


def test_a_name_that_stands_for_this_machine_is_refused_unless_its_network_is_allowed(
    stack: RunningStack, shop: Path, canary: Host, tmp_path: Path
) -> None:
    """Host, scheme and port are allowed; the address that the system's resolver gives is not."""
    gateway = RunningGateway(stack.settings, tmp_path / "log", environment=_environment([canary.port]))
    try:
        gateway.wait_alive()
        for name in ("localhost", "LOCALHOST", "localhost."):
            response = gateway.search([{"image": canary.url("/product.jpg", name)}])
            assert (response.status_code, response.json()["code"]) == (422, "image_url_refused"), response.text
            assert response.json()["details"] == {"reason": "network"}
            assert "127.0.0.1" not in response.text
        assert canary.connections == 0
        assert gateway.search("dress").status_code == 200
    finally:
        gateway.stop()
    refusals = [json.loads(line) for line in gateway.log.read_text().splitlines() if "refused" in line]
    assert any("127.0.0.1" in line.get("addresses", ()) for line in refusals), refusals


def test_a_gateway_that_was_told_of_no_host_fetches_nothing(gateway: RunningGateway, canary: Host) -> None:
    response = gateway.search([{"image": canary.url("/product.jpg")}])
    assert (response.status_code, response.json()["code"]) == (422, "image_url_refused")
    assert response.json()["details"] == {"reason": "off"}
    assert canary.connections == 0
