"""What must not be sent, sent to a real gateway on the real engines: each has its code, and nothing is different after.

"After" is asked after every case: the gateway answers a search as before, no permit is held, no row was written.
"""

import base64
import io
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import PRODUCTS
from tests.fixtures.serving import RunningGateway

PATH = "/v1/collections/products/search"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
MIB = 1024 * 1024


def _in_flight(gateway: RunningGateway) -> float:
    families = text_string_to_metric_families(gateway.http.get("/metrics").text)
    return next(s.value for family in families for s in family.samples if s.name == "vitrine_http_in_flight")


def _rows(gateway: RunningGateway) -> int:
    return int(gateway.http.get("/v1/collections/products").json()["rows"])


@pytest.fixture(autouse=True)
def nothing_is_different_after(gateway: RunningGateway) -> Iterator[None]:
    before, rows = gateway.ids("red dress", limit=5), _rows(gateway)
    yield
    assert gateway.process.poll() is None
    assert gateway.ids("red dress", limit=5) == before
    assert _in_flight(gateway) == 0
    assert _rows(gateway) == rows


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem of a refusal that has this status and code."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem


def data_url(picture: bytes, kind: str = "image/jpeg") -> str:
    return f"data:{kind};base64,{base64.b64encode(picture).decode()}"


# --- texts


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u200b"])
def test_an_empty_or_blank_query(gateway: RunningGateway, text: str) -> None:
    refused(gateway.search(text), 422, "query_empty")


def test_five_hundred_words_are_cut_and_told(gateway: RunningGateway) -> None:
    response = gateway.search("floral dress " * 250)
    assert response.status_code == 200
    assert response.json()["warnings"] == ["query_truncated"]
    assert response.json()["hits"]


def test_nine_kilobytes_of_text(gateway: RunningGateway) -> None:
    refused(gateway.search("x" * 9 * 1024), 413, "query_too_large")


@pytest.mark.parametrize("written", ['"dress\\u0000"', '"\\ud800 dress"', '"dress \\udfff"'])
def test_nul_and_lone_surrogates(gateway: RunningGateway, written: str) -> None:
    body = f'{{"query": {written}}}'
    response = gateway.http.post(PATH, content=body, headers={"Content-Type": "application/json"})
    refused(response, 422, "text_malformed")


# --- numbers


@pytest.mark.parametrize("limit", ["0", "-1", "1000000", '"ten"', "NaN", "1.5", "true", "null"])
def test_a_limit_that_is_none_tells_the_limits(gateway: RunningGateway, limit: str) -> None:
    body = f'{{"query": "dress", "limit": {limit}}}'
    response = gateway.http.post(PATH, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.json()["code"] in {"invalid_input", "limit_exceeded"}
    assert '"minimum":1' in response.text
    assert '"maximum":250' in response.text


@pytest.mark.parametrize("limit", ["0", "-1", "1000000", "ten", "NaN", "1.5", ""])
def test_the_same_in_an_address(gateway: RunningGateway, limit: str) -> None:
    response = gateway.http.get(PATH, params={"q": "dress", "limit": limit})
    assert response.status_code == 422
    assert '"minimum":1' in response.text
    assert '"maximum":250' in response.text


# --- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"query": "dress"',
        b"",
        b"[" * 100_000,
        b'{"query": "dress", "filter": ' + b'{"not":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b"\xff\xfe{}",
    ],
    ids=["brace", "cut", "nothing", "deep list", "deep filter", "no UTF-8"],
)
def test_broken_or_deeply_nested_json(gateway: RunningGateway, body: bytes) -> None:
    response = gateway.http.post(PATH, content=body, headers={"Content-Type": "application/json"})
    refused(response, 400, "json_malformed")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", None])
def test_a_wrong_content_type(gateway: RunningGateway, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    response = gateway.http.post(PATH, content=b'{"query": "dress"}', headers=headers)
    refused(response, 415, "content_type_unsupported")


def test_an_oversized_chunked_body_is_cut_off_and_memory_stays_flat(gateway: RunningGateway) -> None:
    process = psutil.Process(gateway.process.pid)
    gateway.ids("dress")
    before = process.memory_info().rss
    chunk = b"100000\r\n" + b" " * MIB + b"\r\n"
    highest, sent = before, 0
    with socket.create_connection(("127.0.0.1", gateway.settings.gateway.port), timeout=20) as connection:
        connection.sendall(HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                connection.sendall(chunk)
                sent += 1
                highest = max(highest, process.memory_info().rss)
        except OSError:
            pass  # refused in mid-sending, as it should be
        answer = b""
        try:
            while piece := connection.recv(65_536):
                answer += piece
        except OSError:
            pass  # what was sent after the refusal may have reset the connection
    assert sent < 200
    if answer:
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"body_too_large" in answer
    assert highest - before < 48 * MIB


def test_a_refused_caller_cannot_go_on_sending(gateway: RunningGateway) -> None:
    """Refused for its address, before anything of the body was read."""
    chunk, sent = b"100000\r\n" + b" " * MIB + b"\r\n", 0
    with socket.create_connection(("127.0.0.1", gateway.settings.gateway.port), timeout=20) as connection:
        connection.sendall(b"POST /v1/nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(200):
                connection.sendall(chunk)
                sent += 1
        except OSError:
            pass
    assert sent < 200


def test_an_oversized_body_says_so_before_it_is_sent(gateway: RunningGateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.settings.gateway.port), timeout=20) as connection:
        connection.sendall(f"{HEAD}Content-Length: {10**12}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65_536):  # to its end: head and body may come apart
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


@pytest.mark.parametrize("as_files", [False, True])
def test_ten_thousand_parts_of_a_form(gateway: RunningGateway, as_files: bool) -> None:
    name = 'filename="a"; ' if as_files else ""
    part = f'--b\r\nContent-Disposition: form-data; {name}name="limit"\r\n\r\n1\r\n'
    response = gateway.http.post(
        f"{PATH}/image",
        content=(part * 10_000 + "--b--\r\n").encode(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    refused(response, 400, "form_malformed")


# --- filters and names


@pytest.mark.parametrize("value", ['x" or 1==1', 'x" or id != "', "x\\", 'x\\" or 1==1 or "', "x' or 1==1 --"])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_filter_value_is_only_ever_a_value(gateway: RunningGateway, value: str, as_text: bool) -> None:
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    tree = {"field": "colour_group_name", "op": "eq", "value": value}
    response = gateway.search("dress", filter=f"colour_group_name:{quoted}" if as_text else tree)
    assert response.status_code == 200, response.text
    assert response.json()["hits"] == []


@pytest.mark.parametrize(
    "text", ['colour_group_name:"x" or 1==1', "1==1", "id in [", 'x" or 1==1', "a" * 10_000, "(" * 5_000]
)
def test_an_expression_is_no_filter(gateway: RunningGateway, text: str) -> None:
    refused(gateway.http.get(PATH, params={"q": "dress", "filter": text}), 422, "filter_invalid")


@pytest.mark.parametrize("field", ["nonsense", "embedding", "detail_desc", "id == 1 or id", ""])
def test_an_unknown_field(gateway: RunningGateway, field: str) -> None:
    response = gateway.search("dress", filter={"field": field, "op": "eq", "value": "x"})
    refused(response, 422, "filter_invalid")


def test_a_filter_nested_too_deep(gateway: RunningGateway) -> None:
    tree: dict[str, Any] = {"field": "title", "op": "eq", "value": "x"}
    for _ in range(40):
        tree = {"not": tree}
    refused(gateway.search("dress", filter=tree), 422, "filter_invalid")


def test_an_unknown_collection(gateway: RunningGateway) -> None:
    refused(gateway.search("dress", alias="nobodys"), 404, "collection_not_found")


# --- pictures


def _png(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes that declares this size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def _jpeg(shop: Path) -> bytes:
    return (shop / "images" / PRODUCTS[7][:3] / f"{PRODUCTS[7]}.jpg").read_bytes()


def _both_ways(gateway: RunningGateway, picture: bytes) -> Iterator[httpx.Response]:
    """The answers to a picture as a data: URL and as an upload with a name that promises a JPEG."""
    yield gateway.search([{"image": data_url(picture)}], limit=1)
    yield gateway.http.post(f"{PATH}/image", files={"image": ("x.jpg", picture, "image/jpeg")}, data={"limit": "1"})


def test_a_tiny_png_that_declares_2_500_megapixels(gateway: RunningGateway) -> None:
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    for response in _both_ways(gateway, _png(50_000, 50_000)):
        refused(response, 413, "image_too_many_pixels")
    assert process.memory_info().rss - before < 16 * MIB


def test_a_truncated_jpeg(gateway: RunningGateway, shop: Path) -> None:
    for response in _both_ways(gateway, _jpeg(shop)[:600]):
        refused(response, 422, "image_corrupt")


def test_html_named_jpg(gateway: RunningGateway) -> None:
    for response in _both_ways(gateway, b"<!doctype html><html><body>404 Not Found</body></html>"):
        refused(response, 422, "image_unrecognised")


@pytest.mark.parametrize(
    "picture",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
        b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- made by -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ],
    ids=["svg", "svg after a preamble", "pdf", "eps"],
)
def test_formats_that_are_not_accepted(gateway: RunningGateway, picture: bytes) -> None:
    for response in _both_ways(gateway, picture):
        refused(response, 415, "image_format_unsupported")


def test_a_picture_that_is_also_an_archive_is_only_a_picture(gateway: RunningGateway, shop: Path) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.txt", "x" * 1000)
    polyglot = _jpeg(shop) + archive.getvalue()
    with Image.open(io.BytesIO(polyglot)) as image:
        assert image.format == "JPEG"
    for response in _both_ways(gateway, polyglot):
        assert response.status_code == 200, response.text
        assert response.json()["hits"][0]["id"] == PRODUCTS[7]


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://[::ffff:127.0.0.1]/",
        "file:///etc/passwd",
        "https://cdn.example.com/a.jpg",
    ],
)
def test_an_address_where_pictures_are_not_fetched(gateway: RunningGateway, address: str) -> None:
    refused(gateway.search([{"image": address}]), 422, "image_url_refused")


# --- items: a refused write leaves nothing


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"title": "no picture"}, 422, "invalid_input"),
        ({"title": "x", "image": "data:image/png;base64,AAAA"}, 422, "image_unrecognised"),
        ({"title": "x", "image_path": "../../etc/passwd"}, 422, None),
        ({"title": "x", "image_path": "/etc/passwd"}, 422, None),
        ({"title": "x", "image_path": "images/a\0.jpg"}, 422, None),
        ({"title": "x", "image": "data:image/png;base64,AAAA", "fields": {"nonsense": 1}}, 422, None),
    ],
)
def test_an_item_that_cannot_be_written(gateway: RunningGateway, body: Any, status: int, code: str | None) -> None:
    address = "/v1/collections/products/items/bad-1"
    response = gateway.http.put(address, json=body)
    assert response.status_code == status, response.text
    if code is not None:
        assert response.json()["code"] == code
    assert gateway.http.get(address).status_code == 404
