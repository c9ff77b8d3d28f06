"""A pipeline over a real catalogue, ledger and loader, with an encoder and a writer that a test can break."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np

from tests.fixtures.shop import Shop
from vitrine.domain import Deadline, EmbeddedItem, Pixels, Vectors
from vitrine.embedding.contract import ImagePolicy
from vitrine.embedding.encoder import Encoder
from vitrine.indexer.catalogue import Catalogue
from vitrine.indexer.control import RunControl
from vitrine.indexer.intake import Intake
from vitrine.indexer.kept import EmbeddingKeeper
from vitrine.indexer.ledger import Ledger
from vitrine.indexer.loading import Loader
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.pipeline import Pipeline
from vitrine.indexer.rejections import RejectsFile
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.indexer.retry import Backoff
from vitrine.indexer.sink import Sink
from vitrine.settings import ImageSettings
from vitrine.vectorstore.writer import CollectionWriter

SIZE = 8
DIMENSION = SIZE * SIZE * 3
THREADS = 2
QUICK = Backoff(attempts=3, first_s=0.001)


def vectors_of(pixels: Pixels) -> Vectors:
    """What the fake model makes of pictures: themselves, at unit length."""
    flat = pixels.reshape(len(pixels), -1).astype(np.float32) + 1
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), np.float32)


@dataclass
class FakeEncoder:
    """Counts its calls; `before` runs inside of each and may raise; `hold_until` that many run at once, none ends."""

    hold_until: int = 0
    before: Callable[["FakeEncoder"], None] = lambda _: None
    calls: int = 0
    running: int = 0
    most_running: int = 0
    batches: list[int] = field(default_factory=list)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def encode_pixels(self, pixels: Pixels, deadline: Deadline) -> Vectors:
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.batches.append(len(pixels))
        try:
            await asyncio.sleep(0.001)
            if self.most_running >= self.hold_until:
                self.enough.set()
            await self.enough.wait()
            self.before(self)
            return vectors_of(pixels)
        finally:
            self.running -= 1


@dataclass
class FakeWriter:
    """Holds what was upserted; `before` runs inside of each call and may raise."""

    before: Callable[["FakeWriter", Sequence[EmbeddedItem]], None] = lambda _writer, _items: None
    rows: dict[str, EmbeddedItem] = field(default_factory=dict)
    batches: list[list[str]] = field(default_factory=list)

    async def upsert(self, items: Sequence[EmbeddedItem]) -> int:
        await asyncio.sleep(0.001)
        self.before(self, items)
        self.batches.append([item.item.id for item in items])
        self.rows.update((item.item.id, item) for item in items)
        return len(items)


class HeldWriter(FakeWriter):
    """A Milvus that takes nothing before it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.called, self.released = asyncio.Event(), asyncio.Event()

    async def upsert(self, items: Sequence[EmbeddedItem]) -> int:
        self.called.set()
        await self.released.wait()
        return await super().upsert(items)


@dataclass
class Bench:
    """One shop and what runs over it leave behind."""

    shop: Shop
    folder: Path
    encoder: FakeEncoder = field(default_factory=FakeEncoder)
    writer: FakeWriter = field(default_factory=FakeWriter)
    batch_size: int = 4
    in_flight: int = 2
    upsert_bytes: int = 64 * 1024
    max_rejects: int | None = None
    max_per_s: float = 0.0
    keep: EmbeddingKeeper | None = None
    tally: Tally = field(default_factory=Tally)
    control: RunControl = field(default_factory=RunControl)

    @property
    def rejects(self) -> Path:
        return self.folder / "rejects.csv"

    def ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.sqlite", build_id="build", fingerprint="model")

    async def run(self) -> Tally:
        """One run. A tally that does not add up fails the test."""
        self.tally, self.control = Tally(), RunControl()
        with (
            self.ledger() as ledger,
            RejectsFile(self.rejects) as rejects,
            ThreadPoolExecutor(1) as bookkeeping,
            ThreadPoolExecutor(THREADS) as decode_pool,
        ):
            await self._pipeline(ledger, rejects, bookkeeping, decode_pool).run()
        self.tally.check()
        return self.tally

    def _pipeline(
        self, ledger: Ledger, rejects: RejectsFile, bookkeeping: ThreadPoolExecutor, decode_pool: ThreadPoolExecutor
    ) -> Pipeline:
        times = StageTimes(dict.fromkeys(IndexStage, 1))
        outcomes = Outcomes(
            self.tally, self.control, bookkeeping, rejects=rejects, ledger=ledger, max_rejects=self.max_rejects
        )
        intake = Intake(
            Catalogue(self.shop.folder, load_mapping("hm")).rows(),
            Loader(
                self.shop.folder,
                fingerprint="model",
                policy=ImagePolicy(size=SIZE),
                limits=ImageSettings(),
                times=times,
            ),
            ledger.lookup,
            outcomes,
            self.tally,
            times,
            self.control,
            bookkeeping=bookkeeping,
            decode_pool=decode_pool,
            decode_threads=THREADS,
            max_per_s=self.max_per_s,
        )
        sink = Sink(
            cast("CollectionWriter", self.writer),
            ledger,
            self.tally,
            times,
            upsert_bytes=self.upsert_bytes,
            backoff=QUICK,
            bookkeeping=bookkeeping,
            stop=self.control.stopping,
            keeper=self.keep,
        )
        return Pipeline(
            intake,
            cast("Encoder", self.encoder),
            sink,
            outcomes,
            self.tally,
            times,
            self.control,
            batch_size=self.batch_size,
            in_flight=self.in_flight,
            call_timeout_s=10.0,
            backoff=QUICK,
        )
