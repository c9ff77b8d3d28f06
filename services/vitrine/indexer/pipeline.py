"""Catalogue rows to vectors in Milvus: read -> decode in threads -> embed, several calls in flight -> write.

The stages hand over through bounded channels, so memory depends on the settings and not on the catalogue. A product
that cannot be used becomes a rejection and nothing stops; a dependency that stays away ends the run after its tries,
with everything that Milvus acknowledged in the ledger.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np

from vitrine.domain import Deadline, EmbeddedItem
from vitrine.embedding.encoder import Encoder
from vitrine.errors import VitrineError
from vitrine.indexer.channel import Channel
from vitrine.indexer.control import RunControl
from vitrine.indexer.intake import Intake
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.indexer.retry import Backoff
from vitrine.indexer.sink import Drain
from vitrine.indexer.states import Embedded, Prepared
from vitrine.telemetry.spans import share_span


class Pipeline:
    """One run over one catalogue.

    Args:
        batch_size: pictures in one call to Triton.
        in_flight: calls to Triton at once.
        call_timeout_s: longest one try of a call may take.
    """

    def __init__(
        self,
        intake: Intake,
        encoder: Encoder,
        sink: Drain,
        outcomes: Outcomes,
        tally: Tally,
        times: StageTimes,
        control: RunControl,
        *,
        batch_size: int,
        in_flight: int,
        call_timeout_s: float,
        backoff: Backoff,
    ) -> None:
        self._intake = intake
        self._encoder = encoder
        self._sink = sink
        self._outcomes = outcomes
        self._tally = tally
        self._times = times
        self._control = control
        self._batch_size = batch_size
        self._in_flight = in_flight
        self._call_timeout_s = call_timeout_s
        self._backoff = backoff

    async def run(self) -> None:
        """Runs to the end of the catalogue, or to an orderly stop.

        Raises:
            EncoderUnavailable, VectorStoreUnavailable, DeadlineExceeded: a dependency stayed away.
            ContractMismatch: Triton changed its model during the run.
            LimitExceeded: too many rejections.
        """
        # Two batches ready per call in flight would only hold memory; one waiting batch keeps the calls going.
        prepared: Channel[Prepared] = Channel(2 * self._batch_size)
        embedded: Channel[Embedded] = Channel(4 * self._batch_size * self._in_flight)
        await run_together(self._intake.run(prepared), self._embed(prepared, embedded), self._sink.drain(embedded))
        if self._control.failure is not None:
            raise self._control.failure

    async def _embed(self, prepared: Channel[Prepared], embedded: Channel[Embedded]) -> None:
        slots = asyncio.Semaphore(self._in_flight)
        async with asyncio.TaskGroup() as calls:
            async for batch in prepared.batches(self._batch_size):
                await slots.acquire()
                calls.create_task(self._embed_batch(batch, embedded, slots))
        await embedded.close()

    async def _embed_batch(self, batch: list[Prepared], embedded: Channel[Embedded], slots: asyncio.Semaphore) -> None:
        try:
            if self._control.stopping.is_set():
                self._outcomes.drop(len(batch))
                return
            pixels = np.stack([one.pixels for one in batch])
            with share_span("embed batch", {"vitrine.batch_size": len(batch)}), self._times.busy(IndexStage.EMBED):
                vectors = await self._backoff.run(
                    "Embedding a batch",
                    lambda: self._encoder.encode_pixels(pixels, Deadline.after(self._call_timeout_s)),
                    self._control.stopping,
                )
        except VitrineError as error:
            # Not raised from here: that would cancel the writer, and vectors that exist already would be lost.
            self._control.fail(error)
            self._outcomes.drop(len(batch))
        else:
            self._tally.embedded += len(batch)
            # Within the slot: a Milvus that is slower than the model holds back the next call, not the memory.
            for one, vector in zip(batch, vectors, strict=True):
                await embedded.put(Embedded(EmbeddedItem(one.item, vector), one.mark))
        finally:
            slots.release()


async def run_together(*stages: Coroutine[Any, Any, None]) -> None:
    """Runs stages until all are done. The first that raises ends the others, and its own error comes out."""
    try:
        async with asyncio.TaskGroup() as group:
            for stage in stages:
                group.create_task(stage)
    except BaseExceptionGroup as group_error:
        raise _first_leaf(group_error) from group_error


def _first_leaf(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
