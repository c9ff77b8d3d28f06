import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from vitrine.gateway.draining import DrainingServer, Farewell
from vitrine.local.ports import choose_free

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Slow:
    """Answers once it may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.may_answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class Served:
    """A server of `Slow` in this loop, told to stop as by a signal."""

    def __init__(self, *, notice_s: float = 0.05, silence_s: float = 30.0, drain_s: int = 30) -> None:
        (self.port,) = choose_free(1)
        self.application = Slow()
        farewell = Farewell(self.application)
        config = uvicorn.Config(
            farewell,
            port=self.port,
            http="httptools",
            lifespan="off",
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=drain_s,
        )
        self.server = DrainingServer(config, FastAPI(), farewell, notice_s=notice_s, silence_s=silence_s)
        self.ended = asyncio.create_task(self.server._serve())

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        await until(lambda: self.server.started)
        return await asyncio.open_connection("127.0.0.1", self.port)

    def signal(self) -> None:
        self.server.handle_exit(signal.SIGTERM, None)

    async def closed_to_new_ones(self) -> None:
        await until(lambda: not self.server.servers[0].is_serving())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def head_of(reader: asyncio.StreamReader) -> list[bytes]:
    async with asyncio.timeout(5):
        return (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")


async def test_an_answer_in_the_making_at_the_signal_is_the_last_of_its_connection() -> None:
    served = Served()
    reader, writer = await served.dial()
    writer.write(REQUEST)
    await served.application.asked.wait()
    served.signal()
    served.application.may_answer.set()
    head = await head_of(reader)
    assert head[0] == b"HTTP/1.1 200 OK"
    assert b"connection: close" in head
    assert await reader.read() == b""
    writer.close()
    await served.ended


async def test_a_kept_connection_is_answered_after_the_listening_socket_is_closed() -> None:
    served = Served()
    served.application.may_answer.set()
    reader, writer = await served.dial()
    writer.write(REQUEST)
    assert b"connection: close" not in await head_of(reader)
    served.signal()
    await served.closed_to_new_ones()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.port)
    assert not served.ended.done()
    writer.write(REQUEST)
    head = await head_of(reader)
    assert head[0] == b"HTTP/1.1 200 OK"
    assert b"connection: close" in head
    writer.close()
    await served.ended


async def test_a_connection_that_stays_silent_is_closed_and_holds_nothing_up() -> None:
    served = Served(silence_s=0.3)
    reader, writer = await served.dial()
    served.signal()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
        await served.ended
    writer.close()


async def test_a_request_that_arrived_but_was_not_read_yet_keeps_its_connection() -> None:
    served = Served()
    served.application.may_answer.set()
    reader, writer = await served.dial()
    writer.write(REQUEST)
    await head_of(reader)
    writer.write(REQUEST)  # at once in the kernel's buffer; the loop has had no turn to read it
    served.server._close_silent()
    assert (await head_of(reader))[0] == b"HTTP/1.1 200 OK"
    served.signal()
    writer.close()
    await served.ended


async def test_without_time_to_drain_a_silent_connection_is_not_waited_for() -> None:
    served = Served(drain_s=0)
    reader, writer = await served.dial()
    served.signal()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
        await served.ended
    writer.close()


async def test_a_second_signal_waits_for_nobody() -> None:
    served = Served()
    _, writer = await served.dial()
    served.signal()
    await served.closed_to_new_ones()
    served.signal()
    async with asyncio.timeout(5):
        await served.ended
    writer.close()


async def test_other_scopes_pass_as_they_are() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        seen.append(message)

    farewell = Farewell(app)
    farewell.leaving = True
    await farewell({"type": "lifespan"}, receive, send)
    assert seen == [{"type": "lifespan"}]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_imports_ends_the_process_with_status_0(ending: signal.Signals) -> None:
    # The import of the first heavy module stands in for any of them: it sends the signal and then never returns.
    program = (
        "import importlib.abc, os, runpy, sys, time\n"
        "class Stuck(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'vitrine.gateway.serving': os.kill(os.getpid(), {int(ending)}); time.sleep(60)\n"
        "sys.meta_path.insert(0, Stuck())\n"
        "runpy.run_module('vitrine.gateway', run_name='__main__', alter_sys=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
