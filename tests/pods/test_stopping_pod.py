"""The end of a gateway's pod, as a kubelet brings it about."""

import json
import socket
import time

import httpx
import pytest

from tests.fixtures.serving import eventually
from tests.pods.conftest import Start, rendered_here
from tests.pods.running import PodRunning

pytestmark = pytest.mark.pods

_ADDRESS = ("127.0.0.1", 8080)
_SEARCH = "/v1/collections/products/search"


class HalfSentSearch:
    """A search whose body is on its way: the gateway has taken the request and cannot have answered it."""

    def __init__(self) -> None:
        body = json.dumps({"query": "red dress", "limit": 5}).encode()
        lines = ["Host: shop", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        head = "\r\n".join([f"POST {_SEARCH} HTTP/1.1", *lines, "", ""])
        self._rest = body[8:]
        self._socket = socket.create_connection(_ADDRESS, timeout=30)
        self._socket.sendall(head.encode() + body[:8])

    def finish(self) -> tuple[str, dict[str, object]]:
        """Sends what is left. Returns the status line and the answer."""
        self._socket.sendall(self._rest)
        with self._socket, self._socket.makefile("rb") as stream:
            head, _, answer = stream.read().partition(b"\r\n\r\n")
        return head.decode().splitlines()[0], json.loads(answer)


def test_a_request_in_flight_is_answered_before_the_pod_ends_well(start: Start, indexing_pod: PodRunning) -> None:
    del indexing_pod  # there is something to find
    rendered = rendered_here("dev")
    (pod,) = rendered.pods_of("gateway")
    gateway = start(rendered, pod)
    gateway.wait_ready()
    search = HalfSentSearch()
    with gateway.terminating():
        time.sleep(gateway.launch.pre_stop_s / 2)
        during_pre_stop = httpx.post(f"http://127.0.0.1:8080{_SEARCH}", json={"query": "red dress"}, timeout=10)
        eventually("SIGTERM has come", lambda: "Draining after SIGTERM" in gateway.log())
        status, answer = search.finish()
    assert during_pre_stop.status_code == 200
    assert status == "HTTP/1.1 200 OK"
    assert answer["hits"]
    assert gateway.state()["ExitCode"] == 0, gateway.log()
