"""The end of the pipeline: embedded products into Milvus, into kept files, then into the ledger. In that order."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Protocol

from vitrine.indexer.channel import Channel
from vitrine.indexer.kept import EmbeddingKeeper
from vitrine.indexer.ledger import Ledger
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.indexer.retry import Backoff
from vitrine.indexer.states import Embedded
from vitrine.telemetry.spans import share_span, span
from vitrine.vectorstore.writer import CollectionWriter, estimate_bytes

MOST_ROWS = 8_192
FLUSH_AFTER_S = 5.0  # a killed run loses at most this much embedding, however slow the model is
_TAKE = 256


class Drain(Protocol):
    """Where a pipeline ends: `Sink`, or `KeptFiles` of a run without Milvus."""

    async def drain(self, embedded: Channel[Embedded]) -> None:
        """Takes everything until the channel is closed and empty."""


class Sink:
    """Writes what comes out of a channel, in batches bounded by bytes, rows and age.

    Args:
        upsert_bytes: about how large one upsert may become.
        bookkeeping: the one thread that the ledger is used from.
        keeper: keeps the embeddings as files; None: they are not kept.
        stop: ends waits between tries.
    """

    def __init__(
        self,
        writer: CollectionWriter,
        ledger: Ledger,
        tally: Tally,
        times: StageTimes,
        *,
        upsert_bytes: int,
        backoff: Backoff,
        bookkeeping: Executor,
        stop: asyncio.Event,
        keeper: EmbeddingKeeper | None = None,
    ) -> None:
        self._writer = writer
        self._ledger = ledger
        self._tally = tally
        self._times = times
        self._upsert_bytes = upsert_bytes
        self._backoff = backoff
        self._bookkeeping = bookkeeping
        self._stop = stop
        self._keeper = keeper

    async def drain(self, embedded: Channel[Embedded]) -> None:
        """Writes everything until the channel is closed and empty.

        Raises:
            VectorStoreUnavailable, DeadlineExceeded: Milvus stayed away; what it acknowledged is in the ledger.
        """
        batch: list[Embedded] = []
        size, began = 0, time.monotonic()
        while True:
            patience = max(0.01, began + FLUSH_AFTER_S - time.monotonic()) if batch else None
            taken = await embedded.take(_TAKE, within_s=patience)
            for one in taken or ():
                began = began if batch else time.monotonic()
                batch.append(one)
                size += estimate_bytes(one.item)
                if size >= self._upsert_bytes or len(batch) >= MOST_ROWS:
                    await self._write(batch)
                    batch, size = [], 0
            if batch and (taken is None or time.monotonic() - began >= FLUSH_AFTER_S):
                await self._write(batch)
                batch, size = [], 0
            if taken is None:
                break
        if self._keeper is not None:
            await self._aside(self._keeper.close)

    async def _write(self, batch: list[Embedded]) -> None:
        items = [one.item for one in batch]
        with share_span("write batch", {"vitrine.batch_size": len(batch)}), self._times.busy(IndexStage.WRITE):
            # Repeating an upsert is safe: it replaces rows of the same ids by themselves.
            await self._backoff.run("Writing to Milvus", lambda: self._writer.upsert(items), self._stop)
            if self._keeper is not None:
                keeper = self._keeper
                with span("keep embeddings"):
                    await self._aside(lambda: keeper.add(batch))
            with span("ledger"):
                await self._aside(lambda: self._ledger.mark_written(one.mark for one in batch))
        self._tally.written += len(batch)
        self._tally.written_at = time.time()

    async def _aside(self, work: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._bookkeeping, work)
