"""The front of the pipeline: rows in, decoded products out, everything else settled. Also all of a dry run."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from vitrine.indexer.catalogue import CatalogueRow
from vitrine.indexer.channel import Channel
from vitrine.indexer.control import RunControl
from vitrine.indexer.loading import Loader
from vitrine.indexer.outcomes import Outcome, Outcomes
from vitrine.indexer.pace import Pace
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.indexer.states import Mark, Prepared
from vitrine.telemetry.spans import share_span

READ_CHUNK = 128
"""Rows read, and looked up in the ledger, at a time."""

Rows: TypeAlias = Iterator[CatalogueRow | Outcome]
Lookup: TypeAlias = Callable[[Sequence[str]], dict[str, Mark]]


@dataclass(frozen=True, slots=True)
class Todo:
    """A row that needs a closer look, and what the collection holds of it."""

    row: CatalogueRow
    known: Mark | None


class Intake:
    """Reads rows and decodes their pictures.

    Args:
        lookup: what the collection holds of these ids; blocks, called in `bookkeeping`.
        bookkeeping: the one thread for the catalogue file and the ledger.
        decode_pool: threads that decode, `decode_threads` of them.
        max_per_s: most pictures begun per second; 0: as many as there is room for.
    """

    def __init__(
        self,
        rows: Rows,
        loader: Loader,
        lookup: Lookup,
        outcomes: Outcomes,
        tally: Tally,
        times: StageTimes,
        control: RunControl,
        *,
        bookkeeping: Executor,
        decode_pool: ThreadPoolExecutor,
        decode_threads: int,
        max_per_s: float = 0.0,
    ) -> None:
        self._rows = rows
        self._loader = loader
        self._lookup = lookup
        self._outcomes = outcomes
        self._tally = tally
        self._times = times
        self._control = control
        self._bookkeeping = bookkeeping
        self._decode_pool = decode_pool
        # One more task than threads: while one settles its product, no thread is idle.
        self._decoders = decode_threads + 1
        self._pace = Pace(max_per_s, control.stopping)

    async def run(self, prepared: Channel[Prepared]) -> None:
        """Feeds `prepared` until the rows end or the run is stopped, then closes it."""
        todo: Channel[Todo] = Channel(READ_CHUNK)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(todo))
            for _ in range(self._decoders):
                group.create_task(self._decode(todo, prepared))
        await prepared.close()

    async def _read(self, todo: Channel[Todo]) -> None:
        loop = asyncio.get_running_loop()
        while not self._control.stopping.is_set():
            with share_span("read rows"):
                closer, settled = await loop.run_in_executor(self._bookkeeping, self._read_chunk)
            if not closer and not settled:
                break
            self._tally.read += len(closer) + len(settled)
            await self._outcomes.settle(settled)
            for one in closer:
                await todo.put(one)
        await todo.close()

    def _read_chunk(self) -> tuple[list[Todo], list[Outcome]]:
        with self._times.busy(IndexStage.READ):
            chunk = list(islice(self._rows, READ_CHUNK))
            rows = [row for row in chunk if isinstance(row, CatalogueRow)]
            settled: list[Outcome] = [row for row in chunk if not isinstance(row, CatalogueRow)]
            known = self._lookup([row.item.id for row in rows])
            closer: list[Todo] = []
            for row in rows:
                mark = known.get(row.item.id)
                unchanged = self._loader.skip(row, mark)
                if unchanged is None:
                    closer.append(Todo(row, mark))
                else:
                    settled.append(unchanged.at_line(row.line))
        return closer, settled

    async def _decode(self, todo: Channel[Todo], prepared: Channel[Prepared]) -> None:
        loop = asyncio.get_running_loop()
        async for one in todo:
            await self._pace.turn()
            if self._control.stopping.is_set():
                self._outcomes.drop(1)
                continue
            with share_span("decode picture"):
                loaded = await loop.run_in_executor(self._decode_pool, self._loader.load, one.row, one.known)
            if isinstance(loaded, Prepared):
                await prepared.put(loaded)
            else:
                await self._outcomes.settle([loaded])
