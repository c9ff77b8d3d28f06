import asyncio

import pytest

from vitrine.errors import ContractMismatch, DeadlineExceeded, EncoderUnavailable, VitrineError
from vitrine.indexer.retry import Backoff

QUICK = Backoff(attempts=3, first_s=0.001)


class Flaky:
    """Fails as often as it is told to."""

    def __init__(self, failures: int, error: VitrineError) -> None:
        self.failures = failures
        self.error = error
        self.calls = 0
        self.called = asyncio.Event()

    async def __call__(self) -> str:
        self.calls += 1
        self.called.set()
        if self.calls <= self.failures:
            raise self.error
        return "done"


@pytest.mark.parametrize("error", [EncoderUnavailable("away"), DeadlineExceeded("slow")])
async def test_a_dependency_that_comes_back_is_called_again(error: VitrineError) -> None:
    call = Flaky(2, error)
    assert await QUICK.run("Calling", call, asyncio.Event()) == "done"
    assert call.calls == 3


async def test_tries_are_bounded() -> None:
    call = Flaky(9, EncoderUnavailable("away"))
    with pytest.raises(EncoderUnavailable):
        await QUICK.run("Calling", call, asyncio.Event())
    assert call.calls == 3


async def test_what_will_not_pass_is_not_tried_again() -> None:
    call = Flaky(9, ContractMismatch("other model"))
    with pytest.raises(ContractMismatch):
        await QUICK.run("Calling", call, asyncio.Event())
    assert call.calls == 1


async def test_a_stop_ends_the_wait_and_the_tries() -> None:
    stop = asyncio.Event()
    call = Flaky(9, EncoderUnavailable("away"))
    running = asyncio.create_task(Backoff(attempts=3, first_s=3600).run("Calling", call, stop))
    await call.called.wait()
    stop.set()
    with pytest.raises(EncoderUnavailable):
        async with asyncio.timeout(5):
            await running
    assert call.calls == 2


async def test_no_single_wait_is_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def pause(seconds: float, stop: asyncio.Event) -> None:
        waits.append(seconds)

    monkeypatch.setattr("vitrine.indexer.retry._pause", pause)
    call = Flaky(7, EncoderUnavailable("away"))
    await Backoff(attempts=8, first_s=1.0, longest_s=15.0).run("Calling", call, asyncio.Event())
    assert len(waits) == 7
    assert max(waits) <= 15.0 * 1.25
    assert sum(waits) >= 0.75 * (1 + 2 + 4 + 8 + 15 * 3)
