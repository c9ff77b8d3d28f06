"""A collection from kept embeddings: no picture is opened and no model is asked."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrine.domain import CatalogueItem, EmbeddedItem, FieldValue, Vectors
from vitrine.indexer.channel import Channel
from vitrine.indexer.control import RunControl
from vitrine.indexer.intake import Lookup
from vitrine.indexer.kept import KeptEmbeddingsInvalid, KeptHeader, common_header, parts_of
from vitrine.indexer.outcomes import Outcome, Outcomes
from vitrine.indexer.pipeline import run_together
from vitrine.indexer.rejections import EmbeddingInvalid, Rejection
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.indexer.sink import Drain
from vitrine.indexer.states import Embedded, Mark, Unchanged, row_hash

READ_ROWS = 512
_UNIT_TOLERANCE = 1e-3  # of the squared length, as for every write into a collection

KeptRows: TypeAlias = Iterator[Embedded | Rejection]


class KeptEmbeddings:
    """Kept embeddings, to be read once.

    Args:
        folders: of one model and catalogue, such as those of its shards; where an id is in several, the last counts.

    Raises:
        KeptEmbeddingsInvalid: one holds none, or parts that do not belong together.
    """

    def __init__(self, *folders: Path) -> None:
        self._parts = [part for folder in folders for part in _some_parts(folder)]
        self.header: KeptHeader = common_header(self._parts)
        self._last: dict[str, int] = {}
        total = 0
        for path in self._parts:
            for product_id in self._column(path, "id"):
                self._last[product_id] = total
                total += 1
        self.superseded = total - len(self._last)

    def __len__(self) -> int:
        """Products, each counted once."""
        return len(self._last)

    def rows(self) -> KeptRows:
        """Every product once, in its latest kept state. Lines of rejections count rows over all parts, from 1."""
        position = 0
        for path in self._parts:
            try:
                for batch in pq.ParquetFile(path).iter_batches(READ_ROWS):
                    yield from self._of_batch(batch, position)
                    position += batch.num_rows
            except (OSError, pa.ArrowException) as error:
                raise KeptEmbeddingsInvalid(f"{path} cannot be read: {error}") from error

    def _of_batch(self, batch: pa.RecordBatch, position: int) -> KeptRows:
        flat = batch.column("embedding").flatten().to_numpy(zero_copy_only=False)
        vectors: Vectors = np.asarray(flat, np.float32).reshape(-1, self.header.dimension)
        squares = np.einsum("ij,ij->i", vectors, vectors)
        scalars = batch.drop_columns(["embedding"]).to_pylist()
        for offset, (row, vector, square) in enumerate(zip(scalars, vectors, squares, strict=True)):
            if self._last[row["id"]] != position + offset:
                continue
            # Written so that NaN is refused too.
            if not abs(float(square) - 1.0) <= _UNIT_TOLERANCE:
                reason = EmbeddingInvalid(f"The kept vector's squared length is {square:.6g} instead of 1.")
                yield Rejection.of(reason, product_id=row["id"], line=position + offset + 1, owns_id=True)
                continue
            yield self._embedded(row, vector, position + offset + 1)

    def _embedded(self, row: dict[str, Any], vector: Vectors, line: int) -> Embedded:
        fields: dict[str, FieldValue] = {
            field.name: row[field.name] for field in self.header.fields if row[field.name] is not None
        }
        item = CatalogueItem(
            id=row["id"],
            image=Path(row["image_path"]),
            image_path=row["image_path"],
            title=row["title"],
            group=row["group"],
            fields=fields,
        )
        mark = Mark(item.id, row["content_hash"], row_hash(item, self.header.fingerprint), line=line)
        return Embedded(EmbeddedItem(item, vector), mark)

    def _column(self, path: Path, name: str) -> list[str]:
        try:
            values: list[str] = pq.read_table(path, columns=[name])[name].to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise KeptEmbeddingsInvalid(f"{path} cannot be read: {error}") from error
        return values


class Backfill:
    """Kept embeddings to Milvus: read -> write.

    Args:
        lookup: what the collection holds of these ids; blocks, called in `bookkeeping`.
    """

    def __init__(
        self,
        rows: KeptRows,
        lookup: Lookup,
        sink: Drain,
        outcomes: Outcomes,
        tally: Tally,
        times: StageTimes,
        control: RunControl,
        *,
        bookkeeping: Executor,
    ) -> None:
        self._rows = rows
        self._lookup = lookup
        self._sink = sink
        self._outcomes = outcomes
        self._tally = tally
        self._times = times
        self._control = control
        self._bookkeeping = bookkeeping

    async def run(self) -> None:
        """Runs to the end of the parts, or to an orderly stop.

        Raises:
            VectorStoreUnavailable, DeadlineExceeded: Milvus stayed away.
            KeptEmbeddingsInvalid: a part is damaged.
            LimitExceeded: too many rejections.
        """
        embedded: Channel[Embedded] = Channel(2 * READ_ROWS)
        await run_together(self._read(embedded), self._sink.drain(embedded))
        if self._control.failure is not None:
            raise self._control.failure

    async def _read(self, embedded: Channel[Embedded]) -> None:
        loop = asyncio.get_running_loop()
        while not self._control.stopping.is_set():
            fresh, settled = await loop.run_in_executor(self._bookkeeping, self._read_chunk)
            if not fresh and not settled:
                break
            self._tally.read += len(fresh) + len(settled)
            await self._outcomes.settle(settled)
            for one in fresh:
                await embedded.put(one)
            self._tally.embedded += len(fresh)
        await embedded.close()

    def _read_chunk(self) -> tuple[list[Embedded], list[Outcome]]:
        with self._times.busy(IndexStage.READ):
            chunk = list(islice(self._rows, READ_ROWS))
            rows = [row for row in chunk if isinstance(row, Embedded)]
            settled: list[Outcome] = [row for row in chunk if isinstance(row, Rejection)]
            known = self._lookup([row.mark.id for row in rows])
            fresh: list[Embedded] = []
            for row in rows:
                held = known.get(row.mark.id)
                if held is not None and held.content_hash == row.mark.content_hash:
                    settled.append(Unchanged(held, touched=False).at_line(row.mark.line))
                else:
                    fresh.append(row)
        return fresh, settled


def _some_parts(folder: Path) -> list[Path]:
    parts = parts_of(folder)
    if not parts:
        raise KeptEmbeddingsInvalid(f"There are no kept embeddings (part-000001.parquet, ...) in {folder}.")
    return parts
