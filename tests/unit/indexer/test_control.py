import asyncio
import os
import signal

import pytest

from vitrine.errors import EncoderUnavailable, VectorStoreUnavailable
from vitrine.indexer.control import RunControl, stopped_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_asks_for_an_orderly_end(number: signal.Signals) -> None:
    control = RunControl()
    with stopped_by_signals(control):
        os.kill(os.getpid(), number)
        async with asyncio.timeout(5):
            await control.stopping.wait()
    assert control.reason == number.name
    assert control.failure is None


async def test_a_second_signal_ends_the_run_at_once() -> None:
    control = RunControl()

    async def stuck() -> None:
        with stopped_by_signals(control):
            await control.stopping.wait()
            await asyncio.Event().wait()

    running = asyncio.create_task(stuck())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(5):
        await control.stopping.wait()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await running


async def test_signals_mean_what_they_did_before_when_the_run_is_over() -> None:
    with stopped_by_signals(RunControl()):
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_first_failure_is_kept() -> None:
    control = RunControl()
    control.fail(EncoderUnavailable("first"))
    control.fail(VectorStoreUnavailable("second"))
    assert control.reason == "encoder_unavailable"
    assert control.failure is not None
    assert control.failure.message == "first"
