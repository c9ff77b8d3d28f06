"""The connection against servers that are absent, silent, or refuse: real sockets, no Milvus."""

import asyncio
import inspect
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, milvus_pb2_grpc

from vitrine.errors import DeadlineExceeded, InvalidInput, VectorStoreUnavailable
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.connection import MilvusConnection, single_attempt_handler


def settings(port: int, **more: Any) -> MilvusSettings:
    return MilvusSettings(uri=f"http://127.0.0.1:{port}", **more)


class Refusing(milvus_pb2_grpc.MilvusServiceServicer):  # type: ignore[misc]  # generated, without types
    """Counts calls and answers each with one error."""

    def __init__(self, *, status: grpc.StatusCode | None = None, code: int = 0) -> None:
        self.calls: list[tuple[str, float, dict[str, str | bytes]]] = []
        self._status = status
        self._code = code

    async def _refuse(self, name: str, context: Any, answer: Any) -> Any:
        self.calls.append((name, context.time_remaining(), dict(context.invocation_metadata())))
        if self._status is not None:
            await context.abort(self._status, "go away")
        answer.status.CopyFrom(common_pb2.Status(code=self._code, reason="go away"))
        return answer

    async def Search(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return await self._refuse("Search", context, milvus_pb2.SearchResults())

    async def DescribeCollection(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return await self._refuse("DescribeCollection", context, milvus_pb2.DescribeCollectionResponse())

    async def Flush(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return await self._refuse("Flush", context, milvus_pb2.FlushResponse())


@asynccontextmanager
async def serving(servicer: Refusing) -> AsyncIterator[int]:
    server = grpc.aio.server()
    milvus_pb2_grpc.add_MilvusServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(grace=None)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_connection_opens_while_milvus_is_down_and_calls_fail_at_once() -> None:
    async with await MilvusConnection.open(settings(closed_port())) as connection:
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(VectorStoreUnavailable):
                await connection.server_version()
        assert time.monotonic() - began < 2.0


async def test_a_server_that_accepts_and_stays_silent_costs_the_timeout_and_no_more() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        limit = settings(silent.getsockname()[1], connect_timeout_s=0.3)
        async with await MilvusConnection.open(limit) as connection:
            began = time.monotonic()
            with pytest.raises((DeadlineExceeded, VectorStoreUnavailable)):
                await connection.server_version()
            assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("servicer", [{"status": grpc.StatusCode.UNAVAILABLE}, {"code": 8}, {"code": 1}])
async def test_a_refused_call_is_not_tried_again(servicer: dict[str, Any]) -> None:
    refusing = Refusing(**servicer)
    async with serving(refusing) as port, await MilvusConnection.open(settings(port)) as connection:
        with pytest.raises(VectorStoreUnavailable):
            await connection.call("Search", milvus_pb2.SearchRequest(), seconds=5.0, doing="search")
        assert [name for name, _, _ in refusing.calls] == ["Search"]
        for call in (
            connection.client.describe_collection("c", timeout=5.0),
            connection.client.flush("c", timeout=5.0),
        ):
            with pytest.raises(Exception, match="go away"):
                await call
        assert [name for name, _, _ in refusing.calls] == ["Search", "DescribeCollection", "Flush"]


async def test_the_deadline_the_database_and_the_token_reach_the_server() -> None:
    refusing = Refusing(code=1)
    async with serving(refusing) as port:
        more = {"database": "shop", "token": "root:secret"}
        async with await MilvusConnection.open(settings(port, **more)) as connection:
            with pytest.raises(VectorStoreUnavailable) as caught:
                await connection.call("Search", milvus_pb2.SearchRequest(), seconds=5.0, doing="search")
    _, remaining, metadata = refusing.calls[0]
    assert remaining == pytest.approx(5.0, abs=1.0)
    assert metadata["dbname"] == "shop"
    assert "authorization" in metadata
    assert "secret" not in str(caught.value)


async def test_a_web_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    refusing = Refusing(code=1)
    async with serving(refusing) as port, await MilvusConnection.open(settings(port)) as connection:
        with pytest.raises(VectorStoreUnavailable, match="go away"):
            await connection.call("Search", milvus_pb2.SearchRequest(), seconds=5.0, doing="search")


async def test_no_method_of_the_clients_handler_keeps_its_retries() -> None:
    handler = single_attempt_handler()
    methods = [member for name, member in inspect.getmembers(handler, inspect.iscoroutinefunction)]
    assert len(methods) > 80
    assert [method.__name__ for method in methods if hasattr(method, "__wrapped__")] == []


async def test_a_closed_connection_says_so() -> None:
    connection = await MilvusConnection.open(settings(closed_port()))
    await connection.close()
    await connection.close()
    with pytest.raises(VectorStoreUnavailable):
        await connection.call("Search", milvus_pb2.SearchRequest(), seconds=1.0, doing="search")
    with pytest.raises(VectorStoreUnavailable):
        await connection.server_version()


@pytest.mark.parametrize("uri", ["ftp://127.0.0.1:1", "127.0.0.1:19530", ""])
async def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput):
        await MilvusConnection.open(MilvusSettings(uri=uri))


async def test_cancelling_a_call_cancels_it() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with await MilvusConnection.open(settings(silent.getsockname()[1])) as connection:
            call = asyncio.create_task(
                connection.call("Search", milvus_pb2.SearchRequest(), seconds=60.0, doing="search")
            )
            await asyncio.sleep(0.05)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(call, timeout=2.0)
