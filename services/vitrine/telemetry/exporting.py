"""Finished spans on their way to a collector. Imports OpenTelemetry, so it is imported only when tracing is on."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

QUEUE_SPANS: Final = 2048
"""Spans that wait for a slow collector; further ones are dropped, so that tracing never grows the process."""
_BATCH_SPANS: Final = 512
_EVERY_MS: Final = 2_000.0

OnDropped = Callable[[str, int], None]
"""Told why ("queue_full" or "export_failed") and how many; from any thread."""


class BoundedExport(SpanProcessor):
    """Hands finished spans to a thread that exports them, and counts those that never get there.

    Args:
        exporter: sends a batch.
        on_dropped: hears of spans that were given up.
        every_ms: longest a span waits for others to be sent with it.
    """

    def __init__(self, exporter: SpanExporter, on_dropped: OnDropped, every_ms: float = _EVERY_MS) -> None:
        self._waiting = 0
        self._lock = Lock()
        self._on_dropped = on_dropped
        self._batches = BatchSpanProcessor(
            _Counted(exporter, self._taken, on_dropped),
            max_queue_size=QUEUE_SPANS,
            max_export_batch_size=_BATCH_SPANS,
            schedule_delay_millis=every_ms,
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Never blocks."""
        with self._lock:
            full = self._waiting >= QUEUE_SPANS
            self._waiting += not full
        if full:
            self._on_dropped("queue_full", 1)
        else:
            self._batches.on_end(span)

    def shutdown(self) -> None:
        """Sends what waits. Blocks for as long as the collector lets it."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def _taken(self, spans: int) -> None:
        with self._lock:
            self._waiting -= spans


class _Counted(SpanExporter):
    """An exporter whose failures are counted."""

    def __init__(self, exporter: SpanExporter, on_taken: Callable[[int], None], on_dropped: OnDropped) -> None:
        self._exporter = exporter
        self._on_taken = on_taken
        self._on_dropped = on_dropped

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Called by one thread."""
        self._on_taken(len(spans))
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            if result is not SpanExportResult.SUCCESS:
                self._on_dropped("export_failed", len(spans))
        return result

    def shutdown(self) -> None:
        """Ends the exporter's waits between tries."""
        self._exporter.shutdown()
