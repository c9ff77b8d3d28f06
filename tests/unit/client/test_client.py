"""The client against answers that no gateway of ours gives, served by a real server on loopback."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from vitrine.client import ApiError, Client, GatewayUnreachable


class _Canned(BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, str, bytes]] = (200, "application/json", b"{}")

    def do_POST(self) -> None:
        status, kind, body = type(self).answer
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's own name
        """Keeps the test's output clean."""


@pytest.fixture
def server() -> Iterator[type[_Canned]]:
    handler = type("Canned", (_Canned,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = Thread(target=http.serve_forever)
        thread.start()
        handler.url = f"http://127.0.0.1:{http.server_port}"
        yield handler
        http.shutdown()
        thread.join(timeout=10)


def test_a_problem_document_becomes_an_error_with_its_code(server: type[_Canned]) -> None:
    problem = {"code": "query_empty", "detail": "The query is empty.", "request_id": "r-1"}
    server.answer = (422, "application/problem+json", json.dumps(problem).encode())
    with Client(server.url) as client, pytest.raises(ApiError) as caught:
        client.search("products", "")
    assert (caught.value.status, caught.value.code, caught.value.message) == (422, "query_empty", "The query is empty.")
    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b"{}", b"\xff", b""])
def test_a_proxys_own_error_page_keeps_its_status(server: type[_Canned], body: bytes) -> None:
    server.answer = (502, "text/html", body)
    with Client(server.url) as client, pytest.raises(ApiError) as caught:
        client.search("products", "x")
    assert (caught.value.status, caught.value.code) == (502, "unexpected_answer")


def test_members_that_a_newer_server_adds_are_passed_over(server: type[_Canned]) -> None:
    answer = {
        "hits": [{"id": "1", "score": 0.5, "sponsored": True}],
        "took_ms": {"total": 1.0},
        "collection": "products_v1",
        "model": {"name": "m", "fingerprint": "f", "vendor": "x"},
        "new": 1,
    }
    server.answer = (200, "application/json", json.dumps(answer).encode())
    with Client(server.url) as client:
        assert client.search("products", "x").hits[0].id == "1"


def test_no_server_is_said_so() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(GatewayUnreachable, match="does not answer"):
        client.search("products", "x")


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    server: type[_Canned], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    server.answer = (422, "application/problem+json", b'{"code": "query_empty", "detail": "Empty."}')
    with Client(server.url) as client, pytest.raises(ApiError, match="Empty"):
        client.search("products", "")
