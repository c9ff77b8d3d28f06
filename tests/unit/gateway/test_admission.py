import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from tests.unit.gateway.conftest import Api, OpenApi
from vitrine.errors import Overloaded
from vitrine.gateway.admission import Admission, BodyLimit, Permits
from vitrine.gateway.errors import BodyTimedOut, BodyTooLarge, ClientGone, shed_reason
from vitrine.telemetry.metrics import GatewayMetrics, ShedReason

CHUNKED = [(b"transfer-encoding", b"chunked")]


def _scope(headers: list[tuple[bytes, bytes]], path: str = "/v1/x") -> Scope:
    return {"type": "http", "path": path, "headers": headers}


def _metrics() -> GatewayMetrics:
    return GatewayMetrics("0", (), (), ())


async def _send(message: Message) -> None:
    raise AssertionError("nothing is sent here")


class _Reader:
    """An application that reads its body to the end, keeping nothing."""

    def __init__(self) -> None:
        self.received = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            self.received += len(message["body"])
            if not message.get("more_body"):
                return


class _Chunks:
    """A `receive` that has chunks for ever, and counts how many were taken."""

    def __init__(self, size: int) -> None:
        self.taken = 0
        self._chunk = b"x" * size

    async def __call__(self) -> Message:
        self.taken += 1
        return {"type": "http.request", "body": self._chunk, "more_body": True}


async def test_an_announced_body_over_the_limit_is_refused_before_a_byte_is_read() -> None:
    chunks = _Chunks(10)
    with pytest.raises(BodyTooLarge):
        await BodyLimit(_Reader(), 100, 1)(_scope([(b"content-length", b"101")]), chunks, _send)
    assert chunks.taken == 0


async def test_an_endless_body_without_a_length_is_cut_at_the_limit() -> None:
    chunks, reader = _Chunks(1000), _Reader()
    with pytest.raises(BodyTooLarge):
        await BodyLimit(reader, 10_000, 1)(_scope(CHUNKED), chunks, _send)
    assert chunks.taken == 11
    assert reader.received == 10_000


async def test_a_length_that_lies_does_not_help() -> None:
    with pytest.raises(BodyTooLarge):
        await BodyLimit(_Reader(), 100, 1)(_scope([(b"content-length", b"5")]), _Chunks(60), _send)


async def test_a_body_of_exactly_the_limit_passes() -> None:
    messages = iter([{"type": "http.request", "body": b"x" * 100, "more_body": False}])

    async def receive() -> Message:
        return next(messages)

    reader = _Reader()
    await BodyLimit(reader, 100, 1)(_scope([(b"content-length", b"100")]), receive, _send)
    assert reader.received == 100


async def test_a_body_that_never_comes_is_given_up() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    began = time.monotonic()
    with pytest.raises(BodyTimedOut):
        await BodyLimit(_Reader(), 100, 0.05)(_scope(CHUNKED), receive, _send)
    assert time.monotonic() - began < 5


async def test_a_body_that_trickles_is_given_up_too() -> None:
    async def receive() -> Message:
        await asyncio.sleep(0.005)
        return {"type": "http.request", "body": b"x", "more_body": True}

    with pytest.raises(BodyTimedOut):
        await BodyLimit(_Reader(), 10_000, 0.05)(_scope(CHUNKED), receive, _send)


async def test_a_caller_who_hangs_up_ends_the_wait() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(ClientGone):
        await BodyLimit(_Reader(), 100, 1)(_scope(CHUNKED), receive, _send)


async def test_a_caller_who_hangs_up_without_a_body_is_no_failure_of_ours(api: Api) -> None:
    """Nothing announces a body here, so nobody counts it on its way."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    head = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    path = "/v1/collections/products/search"
    asked = {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": head}
    ends = {"client": ("127.0.0.1", 1), "server": ("localhost", 80), "scheme": "http"}
    await api.app({"type": "http", **asked, **ends}, receive, send)
    assert json.loads(sent[1]["body"])["code"] == "client_gone"
    assert sent[0]["status"] == 400


async def test_after_the_body_a_wait_for_the_caller_to_leave_is_not_timed() -> None:
    messages = iter([{"type": "http.request", "body": b"", "more_body": False}, {"type": "http.disconnect"}])

    async def receive() -> Message:
        return next(messages)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.sleep(0.03)
        assert (await receive())["type"] == "http.disconnect"

    await BodyLimit(app, 100, 0.01)(_scope(CHUNKED), receive, _send)


async def test_permits_are_given_back_also_by_requests_that_fail() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError

    metrics = _metrics()
    admission = Admission(app, Permits(1, metrics))
    for _ in range(3):
        with pytest.raises(ValueError, match=r"^$"):
            await admission(_scope([]), _Chunks(1), _send)
    assert metrics.registry.get_sample_value("vitrine_http_in_flight") == 0


async def test_the_request_above_the_last_permit_is_refused_at_once() -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        inside.set()
        await leave.wait()

    metrics = _metrics()
    admission = Admission(app, Permits(1, metrics))
    first = asyncio.create_task(admission(_scope([]), _Chunks(1), _send))
    await inside.wait()
    assert metrics.registry.get_sample_value("vitrine_http_in_flight") == 1
    with pytest.raises(Overloaded) as refused:
        await admission(_scope([]), _Chunks(1), _send)
    leave.set()
    await first
    assert shed_reason(refused.value) is ShedReason.IN_FLIGHT


async def test_a_full_house_still_answers_probes_and_scrapes(open_api: OpenApi) -> None:
    api = await open_api(max_in_flight=1)
    async with api.searching():
        refused = await api.search({"query": "dress"})
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        for path in ("/livez", "/readyz", "/metrics"):
            assert (await api.client.get(path)).status_code == 200, path
    assert (await api.search({"query": "dress"})).status_code == 200


async def test_a_body_over_the_limit_is_answered_413_and_hangs_up(open_api: OpenApi) -> None:
    api = await open_api(max_body_bytes=2000)
    response = await api.search({"query": "x" * 3000})
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert response.json()["details"] == {"limit_bytes": 2000}
    assert response.headers["connection"] == "close"


async def test_a_chunked_body_over_the_limit_is_answered_413(open_api: OpenApi) -> None:
    api = await open_api(max_body_bytes=2000)

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    response: httpx.Response = await api.client.post(
        "/v1/collections/products/search", content=pieces(), headers={"content-type": "application/json"}
    )
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
    assert api.searcher.asked == []


async def test_a_chunked_upload_over_the_limit_is_answered_413(open_api: OpenApi) -> None:
    api = await open_api(max_body_bytes=2000)

    async def pieces() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 100

    response: httpx.Response = await api.client.post(
        "/v1/collections/products/search/image",
        content=pieces(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
