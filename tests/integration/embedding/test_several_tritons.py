"""Two real Tritons behind one name: each has its turn, and one that dies or hangs is not missed for long."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.stack import RunningService, RunningStack, settings_on_free_ports
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.transport.addresses import Address
from vitrine.embedding.transport.servers import Servers
from vitrine.embedding.triton import TritonClient
from vitrine.errors import DeadlineExceeded
from vitrine.settings import TritonSettings

IDS = np.array([[512, 1, 2, 513]], np.int32)


@pytest.fixture(scope="module")
def tritons(model_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RunningService]]:
    with ExitStack() as ending:
        running = []
        for name in ("one", "two"):
            folder = tmp_path_factory.mktemp(name)
            stack = RunningStack(settings_on_free_ports(folder / "state", model_repository), folder)
            ending.callback(stack.triton.stop)
            stack.triton.start()
            running.append(stack.triton)
        for triton in running:
            triton.wait_ready()
        yield running


@pytest.fixture
async def client(tritons: list[RunningService]) -> AsyncIterator[TritonClient]:
    """What a name that stands for both would lead to."""

    async def resolver(_: str, __: int) -> list[Address]:
        return [("127.0.0.1", triton.settings.local.triton_http_port) for triton in tritons]

    client = TritonClient(TritonSettings())
    client._servers = Servers("http://tritons:8000", resolver)
    yield client
    await client.close()


def computed(triton: RunningService) -> int:
    """How many texts it has run through its model so far."""
    url = f"http://127.0.0.1:{triton.settings.local.triton_http_port}/v2/models/clip_text/stats"
    with urllib.request.urlopen(url, timeout=10) as answer:
        (stats,) = json.load(answer)["model_stats"]
    return int(stats["inference_count"])


async def ask(client: TritonClient, seconds: float = 30.0) -> Vectors:
    return await client.infer_text(IDS, Deadline.after(seconds))


async def test_each_gets_every_second_call(tritons: list[RunningService], client: TritonClient) -> None:
    before = [computed(triton) for triton in tritons]
    for _ in range(20):
        await ask(client)
    assert [computed(triton) - had for triton, had in zip(tritons, before, strict=True)] == [10, 10]


async def test_nobody_notices_that_one_is_killed_and_it_has_work_again_when_it_is_back(
    tritons: list[RunningService], client: TritonClient
) -> None:
    (expected,) = await ask(client)
    asked, over = 0, asyncio.Event()

    async def shopper() -> None:
        nonlocal asked
        while not over.is_set():
            (vector,) = await ask(client)
            np.testing.assert_allclose(vector, expected, atol=1e-5)
            asked += 1

    async with asyncio.TaskGroup() as shoppers:
        for _ in range(4):
            shoppers.create_task(shopper())
        await asyncio.sleep(0.5)
        await asyncio.to_thread(tritons[0].kill)
        before = asked
        await asyncio.sleep(0.5)
        assert asked > before
        tritons[0].start()
        await asyncio.to_thread(tritons[0].wait_ready)
        worked = await asyncio.to_thread(computed, tritons[0])
        await asyncio.sleep(2.0)
        assert await asyncio.to_thread(computed, tritons[0]) > worked
        over.set()


async def test_one_that_hangs_costs_those_who_wait_for_it_and_few_others(
    tritons: list[RunningService], client: TritonClient
) -> None:
    for _ in range(2):
        await ask(client)
    tritons[0].pause()
    try:
        answers = [await asyncio.gather(ask(client, 0.3), return_exceptions=True) for _ in range(20)]
    finally:
        tritons[0].resume()
    late = [answer for (answer,) in answers if isinstance(answer, BaseException)]
    assert {type(error) for error in late} == {DeadlineExceeded}
    assert len(late) <= 2, "it goes last for a second after it has let a time run out"
