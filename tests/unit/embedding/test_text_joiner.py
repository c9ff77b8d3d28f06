"""Joining of texts, against an `infer` that answers when the test says so."""

import asyncio

import numpy as np
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from vitrine.domain import Deadline, Vectors
from vitrine.embedding.text_joiner import Ids, TextJoiner
from vitrine.errors import DeadlineExceeded, EncoderUnavailable
from vitrine.settings import TelemetrySettings
from vitrine.telemetry.spans import TraceContext, current_trace, span
from vitrine.telemetry.tracing import tracing_to


class Triton:
    """Answers each row with its first id, once its gate is open; records what it was sent."""

    def __init__(self) -> None:
        self.calls: list[Ids] = []
        self.deadlines: list[Deadline] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def infer(self, ids: Ids, deadline: Deadline) -> Vectors:
        self.calls.append(ids)
        self.deadlines.append(deadline)
        await self.gate.wait()
        if self.error:
            raise self.error
        return ids[:, :1].astype(np.float32)


def text(value: int, *, length: int = 8, rows: int = 1) -> Ids:
    return np.full((rows, length), value, np.int32)


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def ask(joiner: TextJoiner, ids: Ids, seconds: float = 30) -> asyncio.Task[Vectors]:
    return asyncio.create_task(joiner.infer_text(ids, Deadline.after(seconds)))


async def test_a_lone_text_goes_at_once() -> None:
    triton = Triton()
    triton.gate.set()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=2)
    assert (await joiner.infer_text(text(7), Deadline.after(30))).tolist() == [[7]]
    assert [len(call) for call in triton.calls] == [1]


async def test_texts_that_would_wait_go_together_and_each_gets_its_own_answer() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=2)
    asked = []
    for value in range(6):
        asked.append(ask(joiner, text(value, rows=1 + value % 2)))
        await settle()
    assert [len(call) for call in triton.calls] == [1, 2]
    triton.gate.set()
    answers = await asyncio.gather(*asked)
    assert [answer[:, 0].tolist() for answer in answers] == [[0], [1, 1], [2], [3, 3], [4], [5, 5]]
    assert [len(call) for call in triton.calls] == [1, 2, 6]


async def test_lengths_that_are_far_apart_take_turns_and_are_not_mixed() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=3, under_way=1)
    asked = [ask(joiner, text(value, length=length)) for value in range(4) for length in (8, 32)]
    await settle()
    assert [call.shape for call in triton.calls] == [(3, 8)]
    triton.gate.set()
    answers = await asyncio.gather(*asked)
    assert [call.shape for call in triton.calls] == [(3, 8), (3, 32), (1, 8), (1, 32)]
    assert [answer.tolist() for answer in answers] == [[[value]] for value in range(4) for _ in range(2)]


@pytest.mark.parametrize(
    ("most", "lengths", "calls"),
    [
        pytest.param(9, (4, 4, 6, 6), [(4, 6)], id="a few shorter ones go with longer ones"),
        pytest.param(9, (6, 4, 4, 4), [(4, 6)], id="whichever waited first"),
        pytest.param(9, (6, *[4] * 7), [(1, 6), (7, 4)], id="not if padding costs more than a call"),
        pytest.param(9, (4, 6, 8), [(3, 8)], id="of several lengths"),
        pytest.param(9, (4, 8, 16), [(2, 8), (1, 16)], id="as far as it pays"),
        pytest.param(9, (77, 4), [(1, 77), (1, 4)], id="and never to any length"),
        pytest.param(4, (4, 4, 4, 6), [(4, 6)], id="a full call"),
        pytest.param(3, (4, 4, 4, 6), [(3, 4), (1, 6)], id="if there is room for all of them"),
    ],
)
async def test_texts_of_another_length_go_along_where_that_spares_a_call(
    most: int, lengths: tuple[int, ...], calls: list[tuple[int, int]]
) -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=most, under_way=1)
    under_way = ask(joiner, text(0, length=32))
    await settle()
    asked = [ask(joiner, text(value, length=length)) for value, length in enumerate(lengths, 1)]
    await settle()
    triton.gate.set()
    await under_way
    answers = await asyncio.gather(*asked)
    assert [call.shape for call in triton.calls[1:]] == calls
    assert [answer.tolist() for answer in answers] == [[[value]] for value in range(1, len(lengths) + 1)]


async def test_what_goes_along_is_padded_with_its_own_end_of_text() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=8, under_way=1)
    asked = [ask(joiner, text(0, length=32))]
    await settle()
    asked += [ask(joiner, np.array([ids], np.int32)) for ids in ([1, 20, 3, 3], [1, 20, 21, 22, 23, 3])]
    await settle()
    triton.gate.set()
    await asyncio.gather(*asked)
    assert triton.calls[1].tolist() == [[1, 20, 3, 3, 3, 3], [1, 20, 21, 22, 23, 3]]
    assert triton.calls[1].dtype == np.int32


async def test_a_text_that_was_left_does_not_go_along() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=8, under_way=1)
    asked = [ask(joiner, text(0, length=32))]
    await settle()
    asked += [ask(joiner, text(value, length=length)) for value, length in ((1, 6), (2, 4), (3, 4))]
    await settle()
    asked[2].cancel()
    triton.gate.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert [call[:, 0].tolist() for call in triton.calls] == [[0], [1, 3]]


async def test_as_many_calls_are_under_way_as_there_may_be_whatever_the_lengths() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=2)
    asked = []
    for value, length in enumerate((8, 16, 32, 8)):
        asked.append(ask(joiner, text(value, length=length)))
        await settle()
    assert [call.shape for call in triton.calls] == [(1, 8), (1, 16)]
    triton.gate.set()
    await asyncio.gather(*asked)
    assert sorted(call.shape for call in triton.calls[2:]) == [(1, 8), (1, 32)]


async def test_a_call_has_at_most_the_largest_batch() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=4, under_way=1)
    first = ask(joiner, text(0))
    await settle()
    others = [ask(joiner, text(value, rows=3 if value == 4 else 1)) for value in range(1, 8)]
    await settle()
    triton.gate.set()
    await asyncio.gather(first, *others)
    assert [call[:, 0].tolist() for call in triton.calls] == [[0], [1, 2, 3], [4, 4, 4, 5], [6, 7]]


async def test_an_error_reaches_all_of_its_call_and_nobody_else() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=1)
    asked = [ask(joiner, text(value)) for value in range(3)]
    await settle()
    triton.error = EncoderUnavailable("down")
    triton.gate.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [EncoderUnavailable] * 3
    triton.error = None
    assert (await joiner.infer_text(text(9), Deadline.after(30))).tolist() == [[9]]


async def test_a_text_whose_time_is_up_while_it_waits_is_not_sent() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=1)
    first = ask(joiner, text(0))
    await settle()
    with pytest.raises(DeadlineExceeded):
        await joiner.infer_text(text(1), Deadline.after(0.01))
    triton.gate.set()
    await first
    await settle()
    assert len(triton.calls) == 1


async def test_a_text_whose_time_was_up_before_is_refused() -> None:
    triton = Triton()
    with pytest.raises(DeadlineExceeded):
        await TextJoiner(triton.infer, max_batch=32, under_way=2).infer_text(text(1), Deadline.after(-1))
    assert not triton.calls


async def test_a_text_that_nobody_waits_for_any_more_is_not_sent() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=1)
    asked = [ask(joiner, text(0))]
    await settle()
    asked += [ask(joiner, text(value)) for value in (1, 2)]
    await settle()
    asked[1].cancel()
    triton.gate.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert [call[:, 0].tolist() for call in triton.calls] == [[0], [2]]


async def test_cancelling_one_text_under_way_leaves_its_neighbours_alone() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=1)
    asked = [ask(joiner, text(value)) for value in range(3)]
    await settle()
    asked[1].cancel()
    triton.gate.set()
    first, second, third = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(first, np.ndarray)
    assert isinstance(third, np.ndarray)
    assert (first.tolist(), third.tolist()) == ([[0]], [[2]])


async def test_a_call_lasts_as_long_as_its_most_patient_text() -> None:
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=1)
    asked = [ask(joiner, text(value), seconds) for value, seconds in enumerate((20, 50, 30))]
    await settle()
    assert triton.deadlines[0].remaining() > 45
    triton.gate.set()
    await asyncio.gather(*asked)


async def test_a_call_for_several_is_in_the_trace_of_the_first_that_is_sampled_and_linked_with_the_others() -> None:
    exporter = InMemorySpanExporter()
    tracing = tracing_to(exporter, TelemetrySettings(sample_ratio=1), "vitrine-test", "0")
    triton = Triton()
    joiner = TextJoiner(triton.infer, max_batch=32, under_way=1)

    async def request(value: int) -> None:
        with tracing.server_span(f"request {value}", {}), span(f"embed {value}"):
            await joiner.infer_text(text(value), Deadline.after(30))

    tasks = [ask(joiner, text(0))]  # not traced, and under way while the others gather behind it
    await settle()
    tasks.append(ask(joiner, text(1)))
    await settle()
    requests = [asyncio.create_task(request(value)) for value in (2, 3)]
    await settle()
    triton.gate.set()
    await asyncio.gather(*tasks, *requests)
    tracing.close()
    spans = {one.name: one for one in exporter.get_finished_spans()}
    batch, leading, other = spans["joined texts"], spans["embed 2"], spans["embed 3"]
    assert batch.parent is not None
    assert batch.parent.span_id == leading.context.span_id
    assert batch.attributes == {"vitrine.joined": 3, "vitrine.batch_size": 3}
    assert [link.context.span_id for link in batch.links] == [other.context.span_id]
    assert [link.context.span_id for link in other.links] == [batch.context.span_id]


async def test_the_calls_of_others_are_not_in_the_trace_of_whoever_came_first() -> None:
    exporter = InMemorySpanExporter()
    tracing = tracing_to(exporter, TelemetrySettings(sample_ratio=1), "vitrine-test", "0")
    inside: list[TraceContext | None] = []

    async def infer(ids: Ids, deadline: Deadline) -> Vectors:
        inside.append(current_trace())
        return await triton.infer(ids, deadline)

    triton = Triton()
    joiner = TextJoiner(infer, max_batch=1, under_way=1)
    with tracing.server_span("first", {}) as first:
        asked = [ask(joiner, text(0))]
        await settle()
    asked.append(ask(joiner, text(1)))
    await settle()
    triton.gate.set()
    await asyncio.gather(*asked)
    tracing.close()
    assert [None if trace is None else trace.trace_id for trace in inside] == [first.trace_id, None]
