"""Single flight, with work that ends when the test says so."""

import asyncio
from functools import partial

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from vitrine.domain import Deadline
from vitrine.embedding.single_flight import SingleFlight
from vitrine.errors import DeadlineExceeded, EncoderUnavailable, ImageCorrupt
from vitrine.settings import TelemetrySettings
from vitrine.telemetry.tracing import tracing_to


class Work:
    """Answers its key in capitals once its gate is open; records how often it was begun, ended and cancelled."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.cancelled: list[str] = []
        self.deadlines: list[Deadline] = []
        self.gate = asyncio.Event()
        self.errors: dict[str, Exception] = {}

    async def do(self, key: str, deadline: Deadline) -> str:
        self.begun.append(key)
        self.deadlines.append(deadline)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        if key in self.errors:
            raise self.errors[key]
        return key.upper()


def ask(flights: SingleFlight[str, str], work: Work, *keys: str, seconds: float = 30) -> "asyncio.Task[dict[str, str]]":
    works = {key: partial(work.do, key) for key in keys}
    return asyncio.create_task(flights.run(works, Deadline.after(seconds), "waiting for the work"))


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_equal_work_under_way_is_done_once() -> None:
    flights, work = SingleFlight[str, str](), Work()
    asked = [ask(flights, work, "a") for _ in range(5)]
    await settle()
    asked.append(ask(flights, work, "a", "b"))
    await settle()
    assert "a" in flights
    work.gate.set()
    answers = await asyncio.gather(*asked)
    assert answers == [{"a": "A"}] * 5 + [{"a": "A", "b": "B"}]
    assert sorted(work.begun) == ["a", "b"]
    assert "a" not in flights


async def test_what_has_landed_is_begun_anew() -> None:
    flights, work = SingleFlight[str, str](), Work()
    work.gate.set()
    await ask(flights, work, "a")
    await ask(flights, work, "a")
    assert work.begun == ["a", "a"]


async def test_nothing_asked_is_answered_with_nothing() -> None:
    assert await SingleFlight[str, str]().run({}, Deadline.after(30), "waiting") == {}


async def test_an_error_reaches_everyone_who_waits_and_is_forgotten() -> None:
    flights, work = SingleFlight[str, str](), Work()
    asked = [ask(flights, work, "a") for _ in range(3)]
    await settle()
    work.errors["a"] = EncoderUnavailable("down")
    work.gate.set()
    assert [type(error) for error in await asyncio.gather(*asked, return_exceptions=True)] == [EncoderUnavailable] * 3
    work.errors.clear()
    assert await ask(flights, work, "a") == {"a": "A"}


async def test_an_error_of_one_key_spares_those_who_wait_for_others() -> None:
    flights, work = SingleFlight[str, str](), Work()
    both, good = ask(flights, work, "good", "bad"), ask(flights, work, "good")
    await settle()
    work.errors["bad"] = ImageCorrupt("damaged")
    work.gate.set()
    outcomes = await asyncio.gather(both, good, return_exceptions=True)
    assert isinstance(outcomes[0], ImageCorrupt)
    assert outcomes[1] == {"good": "GOOD"}


async def test_an_error_is_told_although_another_key_took_too_long() -> None:
    flights, work, slow = SingleFlight[str, str](), Work(), Work()
    work.errors["bad"] = ImageCorrupt("damaged")
    work.gate.set()
    works = {"slow": partial(slow.do, "slow"), "bad": partial(work.do, "bad")}
    with pytest.raises(ImageCorrupt):
        await flights.run(works, Deadline.after(0.05), "waiting")


async def test_one_who_leaves_ends_nothing_that_another_waits_for() -> None:
    flights, work = SingleFlight[str, str](), Work()
    first, second = ask(flights, work, "a"), ask(flights, work, "a")
    await settle()
    first.cancel()
    await settle()
    assert work.cancelled == []
    work.gate.set()
    assert await second == {"a": "A"}
    assert work.begun == ["a"]


async def test_work_ends_when_the_last_one_leaves_and_the_next_one_begins_anew() -> None:
    flights, work = SingleFlight[str, str](), Work()
    asked = [ask(flights, work, "a") for _ in range(2)]
    await settle()
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert "a" not in flights
    later = ask(flights, work, "a")
    await settle()
    assert work.cancelled == ["a"]
    work.gate.set()
    assert await later == {"a": "A"}
    assert work.begun == ["a", "a"]


async def test_each_waits_for_as_long_as_its_own_deadline() -> None:
    flights, work = SingleFlight[str, str](), Work()
    patient = ask(flights, work, "a")
    await settle()
    with pytest.raises(DeadlineExceeded, match="waiting for the work"):
        await ask(flights, work, "a", seconds=0.02)
    assert work.cancelled == []
    work.gate.set()
    assert await patient == {"a": "A"}


async def test_a_deadline_that_is_over_begins_nothing_that_lasts() -> None:
    flights, work = SingleFlight[str, str](), Work()
    with pytest.raises(DeadlineExceeded):
        await ask(flights, work, "a", seconds=-1)
    await settle()
    assert work.begun == []
    assert "a" not in flights


async def test_a_patient_one_begins_anew_what_a_hurried_one_ran_out_of_time_for() -> None:
    flights, work = SingleFlight[str, str](), Work()
    hurried = ask(flights, work, "a", seconds=10)
    await settle()
    patient = ask(flights, work, "a", seconds=30)
    await settle()
    work.errors["a"] = DeadlineExceeded("Triton was told 10 s.")
    work.gate.set()
    with pytest.raises(DeadlineExceeded):
        await hurried
    work.errors.clear()
    assert await patient == {"a": "A"}
    assert [round(deadline.remaining(), -1) for deadline in work.deadlines] == [10, 30]


async def test_work_that_takes_too_long_for_its_own_beginner_is_not_begun_again() -> None:
    flights, work = SingleFlight[str, str](), Work()
    work.errors["a"] = DeadlineExceeded("5 s are the most for one call.")
    work.gate.set()
    with pytest.raises(DeadlineExceeded, match="5 s"):
        await ask(flights, work, "a")
    assert work.begun == ["a"]


async def test_whoever_joins_is_linked_with_the_trace_that_does_the_work() -> None:
    exporter = InMemorySpanExporter()
    tracing = tracing_to(exporter, TelemetrySettings(sample_ratio=1), "vitrine-test", "0")
    flights, work = SingleFlight[str, str](), Work()

    async def request(name: str) -> None:
        with tracing.server_span(name, {}):
            await flights.run({"a": partial(work.do, "a")}, Deadline.after(30), "waiting for the work")

    asked = []
    for name in ("first", "second"):
        asked.append(asyncio.create_task(request(name)))
        await settle()
    work.gate.set()
    await asyncio.gather(*asked)
    tracing.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert spans["first"].links == ()
    assert [link.context.span_id for link in spans["second"].links] == [spans["first"].context.span_id]
