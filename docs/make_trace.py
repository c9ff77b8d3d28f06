"""Captures the trace of one search and draws it: docs/images/trace.png, and the same as text on standard output.

    VITRINE_TELEMETRY__OTLP_ENDPOINT=http://127.0.0.1:4318/v1/traces VITRINE_TELEMETRY__SAMPLE_RATIO=1 \
        VITRINE_LOCAL__MILVUS_OTLP_ENDPOINT=127.0.0.1:4317 vitrine up
    PYTHONPATH=. python docs/make_trace.py http://127.0.0.1:8080 docs/images/trace.png
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import httpx
import matplotlib as mpl
from matplotlib import pyplot as plt

from tests.harness.otlp import OtlpReceiver, ReceivedSpan

# Queries of other words come first: they open connections and fill caches, as in a gateway that serves.
_WARMING: Final = ("warm coat", "cold drink", "grey hat")
_QUERY: Final = "red dress with flowers"
_SETTLED_S: Final = 8.0  # the slowest exporter, Milvus's, sends every 5 s
_NAMES: Final = {
    "vitrine-gateway": ("gateway", "#4269d0"),
    "vitrine-triton": ("Triton", "#efb118"),
    "standalone": ("Milvus", "#3ca951"),
    "segcore": ("Milvus", "#3ca951"),  # its part in C++ has an exporter, and a name, of its own
}
_DIGITS: Final = 2


def main() -> None:
    """Asks, waits, draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of a gateway that sends its traces here")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--http-port", type=int, default=4318)
    parser.add_argument("--grpc-port", type=int, default=4317)
    parser.add_argument("--collection", default="products")
    arguments = parser.parse_args()
    path = f"{arguments.url}/v1/collections/{arguments.collection}/search"
    with OtlpReceiver(http_port=arguments.http_port, grpc_port=arguments.grpc_port) as receiver:
        for query in (*_WARMING, _QUERY):
            answer = httpx.post(path, json={"query": query, "limit": 20}, timeout=30)
            answer.raise_for_status()
        trace = answer.headers["x-trace-id"]
        time.sleep(_SETTLED_S)
        spans = receiver.spans(trace)
    ordered = list(_in_order(spans))
    sys.stdout.write("\n".join(_lines(ordered)) + "\n")
    _draw(ordered, arguments.picture)


def _in_order(spans: Sequence[ReceivedSpan], parent: str = "", depth: int = 0) -> Iterator[tuple[int, ReceivedSpan]]:
    """Each span before those inside it, with its depth."""
    for span in spans:
        if span.parent_id == parent:
            yield depth, span
            yield from _in_order(spans, span.span_id, depth + 1)


def _lines(ordered: Sequence[tuple[int, ReceivedSpan]]) -> Iterable[str]:
    began = ordered[0][1].start_ns
    yield f"trace {ordered[0][1].trace_id}"
    yield "  begins    takes"
    for depth, span in ordered:
        name = _NAMES.get(span.service, (span.service, ""))[0]
        yield (
            f"{(span.start_ns - began) / 1e6:8.{_DIGITS}f} {(span.end_ns - span.start_ns) / 1e6:8.{_DIGITS}f} ms  "
            f"{name:8}{'  ' * depth}{span.name}"
        )


def _draw(ordered: Sequence[tuple[int, ReceivedSpan]], picture: Path) -> None:
    mpl.use("Agg")
    began, ended = ordered[0][1].start_ns, max(span.end_ns for _, span in ordered)
    total = (ended - began) / 1e6
    figure, axes = plt.subplots(figsize=(12, 0.27 * len(ordered) + 1.2), layout="constrained")
    for row, (depth, span) in enumerate(ordered):
        _, colour = _NAMES.get(span.service, ("", "#888888"))
        left, width = (span.start_ns - began) / 1e6, (span.end_ns - span.start_ns) / 1e6
        axes.barh(row, max(width, total / 800), left=left, height=0.72, color=colour)
        # A label stands where there is room: behind its bar, or before it near the right edge.
        behind = left + width < total * 0.62
        axes.text(
            left + width + total * 0.006 if behind else left - total * 0.006,
            row,
            f"{span.name}  {width:.{_DIGITS}f} ms",
            va="center",
            ha="left" if behind else "right",
            fontsize=8,
        )
        axes.plot([-total * 0.012 * (depth + 1)] * 2, [row - 0.5, row + 0.5], color=colour, linewidth=3)
    for name, colour in dict.fromkeys(_NAMES.values()):
        axes.barh(0, 0, color=colour, label=name)
    axes.legend(loc="lower left", frameon=False, fontsize=9)
    axes.set(ylim=(len(ordered) - 0.5, -0.7), xlim=(-total * 0.16, total * 1.02), xlabel="ms", yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
