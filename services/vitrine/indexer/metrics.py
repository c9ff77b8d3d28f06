"""What a run tells Prometheus while it lasts: the figures of its summary, read where they are counted.

`docs/metrics.md` says what each means; a test holds it to this.
"""

import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from vitrine.indexer.rejections import rejection_codes
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.telemetry.stages import BUCKETS_S

# A batch of pictures takes a CPU seconds, and a call is given up after a minute.
STAGE_EDGES_S: Final = (*BUCKETS_S, 30.0, 60.0)
OTHER_REASON: Final = "other"


class RowOutcome(StrEnum):
    """What became of a row; a label's values. `read` is their sum, but for `deleted` and for rows on their way."""

    READ = "read"
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    DROPPED = "dropped"
    """Left unfinished by an early end."""
    ELSEWHERE = "elsewhere"
    """Another shard's."""
    DELETED = "deleted"
    """In the collection, and not in the catalogue any more."""


class IndexMetrics:
    """Metrics of one run, in a registry of their own.

    Args:
        version: of the product.
    """

    def __init__(self, version: str) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._version = version
        self._build = Info("vitrine_build", "Version and model of the running code.", registry=self.registry)
        self._build.info({"version": version})
        started = Gauge(
            "vitrine_index_run_started_timestamp_seconds", "When the run was started.", registry=self.registry
        )
        started.set(time.time())
        stages = Histogram(
            "vitrine_index_stage_duration_seconds",
            "Time of one step of a stage: a batch for embed and write, a picture for decode.",
            ("stage",),
            buckets=STAGE_EDGES_S,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in IndexStage}
        self._rows = _Rows()
        self.registry.register(self._rows)

    def observe_stage(self, stage: IndexStage, seconds: float) -> None:
        """Records one step. May be used from any thread."""
        self._stages[stage].observe(seconds)

    def follow(self, tally: Tally, times: StageTimes, deleted: Callable[[], int], fingerprint: str) -> None:
        """Shows the figures of a run from now on.

        Args:
            tally: counted by its stages.
            times: knows what is under way.
            deleted: how many rows were taken out of the collection so far.
            fingerprint: of the model whose embeddings are written.
        """
        self._build.info({"version": self._version, "fingerprint": fingerprint})
        self._rows.follow(tally, times, deleted)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that an `Accept` header prefers, and that format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Rows(Collector):
    """Reads a tally instead of keeping a second one, so that summary and metrics cannot differ."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._times = StageTimes({})
        self._deleted: Callable[[], int] = int

    def follow(self, tally: Tally, times: StageTimes, deleted: Callable[[], int]) -> None:
        self._tally, self._times, self._deleted = tally, times, deleted

    def collect(self) -> Iterator[Metric]:
        tally = self._tally
        rows = CounterMetricFamily("vitrine_index_rows", "Rows by what became of them.", labels=("outcome",))
        for outcome, count in {
            RowOutcome.READ: tally.read,
            RowOutcome.WRITTEN: tally.written,
            RowOutcome.UNCHANGED: tally.unchanged,
            RowOutcome.REJECTED: tally.rejections,
            RowOutcome.DROPPED: tally.dropped,
            RowOutcome.ELSEWHERE: tally.elsewhere,
            RowOutcome.DELETED: self._deleted(),
        }.items():
            rows.add_metric((outcome,), count)
        yield rows
        yield self._rejected()
        yield GaugeMetricFamily(
            "vitrine_index_batches_in_flight",
            "Batches that Triton is embedding, tries that failed and wait included.",
            self._times.active.get(IndexStage.EMBED, 0),
        )
        if tally.written_at is not None:
            yield GaugeMetricFamily(
                "vitrine_index_last_write_timestamp_seconds",
                "When Milvus last acknowledged a batch of this run.",
                tally.written_at,
            )

    def _rejected(self) -> Metric:
        counts = dict.fromkeys((*sorted(rejection_codes()), OTHER_REASON), 0)
        for code, count in self._tally.rejected.items():
            counts[code if code in counts else OTHER_REASON] += count
        rejected = CounterMetricFamily(
            "vitrine_index_rejected", "Rows that cannot be used, by the reason in the rejects file.", labels=("reason",)
        )
        for reason, count in counts.items():
            rejected.add_metric((reason,), count)
        return rejected
