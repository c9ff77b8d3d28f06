"""What a run did, in figures: counted while it runs, printed or written as JSON at its end."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from rich.console import Console
from rich.table import Table

from vitrine.errors import InternalError, VitrineError


class IndexStage(StrEnum):
    """The stages of a run, in their order."""

    READ = "read"
    DECODE = "decode"
    EMBED = "embed"
    WRITE = "write"


class StageTimes:
    """Busy seconds by stage, added up over everything that works on a stage at the same time.

    Args:
        slots: how much can work on a stage at the same time.
        observe: told of every step, from the thread that made it; None: nobody asks.
    """

    def __init__(
        self, slots: Mapping[IndexStage, int], observe: Callable[[IndexStage, float], None] | None = None
    ) -> None:
        self.slots = dict(slots)
        self.seconds: dict[IndexStage, float] = dict.fromkeys(slots, 0.0)
        self.active: dict[IndexStage, int] = dict.fromkeys(slots, 0)
        self._observe = observe
        self._lock = threading.Lock()

    @contextmanager
    def busy(self, stage: IndexStage) -> Iterator[None]:
        """Adds the time of the block to `stage`, also when the block raises. May be used from any thread."""
        began = time.perf_counter()
        with self._lock:
            self.active[stage] += 1
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self.seconds[stage] += took
                self.active[stage] -= 1
            if self._observe is not None:
                self._observe(stage, took)


@dataclass(slots=True)
class Tally:
    """Every product that was read, by what became of it.

    `read` counts what came out of the catalogue; each product ends in exactly one of `written`, `unchanged`,
    `rejected` (by code), `elsewhere` (another shard's) or, when a run is stopped early, `dropped`: read but not looked
    at to the end. `embedded` runs ahead of `written`: products whose vector exists. `written_at`: unix seconds,
    None before the first write.
    """

    read: int = 0
    embedded: int = 0
    written: int = 0
    unchanged: int = 0
    dropped: int = 0
    elsewhere: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    written_at: float | None = None

    @property
    def rejections(self) -> int:
        return self.rejected.total()

    @property
    def settled(self) -> int:
        """Products whose fate is known."""
        return self.written + self.unchanged + self.rejections + self.elsewhere + self.dropped

    @property
    def worked(self) -> int:
        """Products that took work: what a rate is made of."""
        return self.embedded + self.rejections

    @property
    def progress(self) -> int:
        """Products that are done but for being written."""
        return self.worked + self.unchanged + self.dropped

    def add_elsewhere(self, count: int) -> None:
        """Counts records that were read and left to other shards."""
        self.elsewhere += count
        self.read += count

    def check(self) -> None:
        """Raises InternalError when a product was lost on the way: that would be a defect of the pipeline."""
        if self.read != self.settled:
            raise InternalError(
                f"{self.read} products were read, but {self.settled} are accounted for.", read=self.read
            )


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run.

    Args:
        collection: the collection that was filled; empty for a dry run.
        alias: what readers call it; empty for a dry run.
        tally: products by outcome.
        ignored: lines of the catalogue that are no products, by reason (`blank_line`, `superseded`).
        in_collection: rows that Milvus holds, counted with strong consistency; None when that was not asked.
        expected: rows that the ledger says it should hold.
        deleted: products that were taken out because the catalogue no longer has them.
        shard: such as "2/4"; empty when the run went over the whole catalogue.
        stale: rows among them whose product was rejected this time; their older state stays searchable.
        elapsed_s: wall time of the pipeline.
        finishing_s: wall time of index building, loading and counting afterwards.
        interrupted: stopped before the end of the catalogue, and by what; empty when it was not.
        rejects_file: where the rejections are listed.
        failure: why the run did not come to its end; None when it did.
    """

    collection: str
    alias: str
    tally: Tally
    times: StageTimes
    elapsed_s: float
    ignored: Mapping[str, int] = field(default_factory=dict)
    in_collection: int | None = None
    expected: int | None = None
    stale: int = 0
    deleted: int = 0
    shard: str = ""
    finishing_s: float = 0.0
    interrupted: str = ""
    rejects_file: str = ""
    failure: VitrineError | None = None

    @property
    def rate(self) -> float:
        """Products settled per second of the pipeline."""
        return (self.tally.settled - self.tally.elsewhere) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def how(self) -> str:
        """How it ended: "done", the name of a signal, or the code of an error."""
        return self.failure.code if self.failure is not None else self.interrupted or "done"

    def counts(self) -> dict[str, object]:
        """Products by outcome, as plain types: also what the ledger and a shard's report keep of a run."""
        tally = self.tally
        return {
            "read": tally.read,
            "written": tally.written,
            "unchanged": tally.unchanged,
            "rejected": tally.rejections,
            "rejected_by_reason": dict(sorted(tally.rejected.items())),
            "dropped": tally.dropped,
            "elsewhere": tally.elsewhere,
            "deleted": self.deleted,
        }

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only."""
        return {
            "collection": self.collection,
            "alias": self.alias,
            **self.counts(),
            "shard": self.shard,
            "ignored": {reason: count for reason, count in self.ignored.items() if count},
            "in_collection": self.in_collection,
            "expected": self.expected,
            "stale": self.stale,
            "interrupted": self.interrupted,
            "elapsed_s": round(self.elapsed_s, 3),
            "finishing_s": round(self.finishing_s, 3),
            "products_per_s": round(self.rate, 2),
            "stages": {
                stage.value: {
                    "busy_s": round(seconds, 3),
                    "slots": self.times.slots[stage],
                    "share": round(self._share(stage), 4),
                }
                for stage, seconds in self.times.seconds.items()
            },
            "rejects_file": self.rejects_file,
            "error": None if self.failure is None else {"code": self.failure.code, "message": self.failure.message},
        }

    def print(self, console: Console) -> None:
        """Two tables, outcomes and stages, and a line on what the collection holds."""
        # Not as the tables' titles: those are wrapped to the tables' few columns.
        shard = f", shard {self.shard}" if self.shard else ""
        heading = f"{self.alias} ({self.collection}{shard})" if self.alias else "Catalogue"
        console.print(heading, style="bold", highlight=False)
        console.print(self._outcomes())
        if self.tally.written or self.tally.rejections:
            finishing = f"; {self.finishing_s:.1f} s to finish" if self.finishing_s else ""
            console.print(f"{self.elapsed_s:.1f} s, {self.rate:.1f} products/s{finishing}", highlight=False)
            console.print(self._stages())
        if self.in_collection is not None:
            console.print(
                f"{self.collection} holds {self.in_collection} products; the ledger accounts for {self.expected}"
                + (f", {self.stale} of them in an older state (rejected this time)." if self.stale else "."),
                highlight=False,
            )
        if self.tally.rejections and self.rejects_file:
            console.print(f"Rejections: {self.rejects_file}", highlight=False, soft_wrap=True)

    def _outcomes(self) -> Table:
        tally = self.tally
        table = Table()
        table.add_column("products")
        table.add_column("count", justify="right")
        table.add_row("read", str(tally.read), style="bold")
        table.add_row("written" if self.alias else "good", str(tally.written))
        if self.alias:
            table.add_row("unchanged", str(tally.unchanged))
        table.add_row("rejected", str(tally.rejections))
        for code, count in sorted(tally.rejected.items()):
            table.add_row(f"  {code}", str(count), style="dim")
        if tally.elsewhere:
            table.add_row("other shards'", str(tally.elsewhere), style="dim")
        if tally.dropped:
            table.add_row(f"not finished ({self._why_unfinished()})", str(tally.dropped))
        if self.deleted:
            table.add_row("(deleted: not in the catalogue any more)", str(self.deleted))
        for reason, count in self.ignored.items():
            if count:
                table.add_row(f"({reason.replace('_', ' ')}s, no products)", str(count), style="dim")
        return table

    def _why_unfinished(self) -> str:
        return self.failure.code if self.failure is not None else self.interrupted

    def _stages(self) -> Table:
        table = Table()
        for name in ("stage", "busy s", "at once", "share of its time"):
            table.add_column(name, justify="left" if name == "stage" else "right")
        for stage, seconds in self.times.seconds.items():
            if not seconds:
                continue
            table.add_row(stage.value, f"{seconds:.1f}", str(self.times.slots[stage]), f"{self._share(stage):.0%}")
        return table

    def _share(self, stage: IndexStage) -> float:
        room = self.elapsed_s * self.times.slots[stage]
        return self.times.seconds[stage] / room if room > 0 else 0.0
