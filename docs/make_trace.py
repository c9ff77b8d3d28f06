"""Captures the trace of one search and draws it: docs/images/trace.png, and the same as text on standard output.

    VITRINE_TELEMETRY__OTLP_ENDPOINT=http://127.0.0.1:4318/v1/traces VITRINE_TELEMETRY__SAMPLE_RATIO=1 \
        VITRINE_LOCAL__MILVUS_OTLP_ENDPOINT=127.0.0.1:4317 vitrine up
    PYTHONPATH=. python docs/make_trace.py http://127.0.0.1:8080 docs/images/trace.png
"""

import argparse
import secrets
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
_TRIES: Final = 6  # Triton does not export every request's spans
_EVERY: Final = frozenset({"vitrine-gateway", "vitrine-triton", "standalone"})
_SETTLED_S: Final = 8.0  # the slowest exporter, Milvus's, sends every 5 s
_NAMES: Final = {
    "vitrine-gateway": ("gateway", "#4269d0"),
    "vitrine-indexer": ("indexer", "#4269d0"),
    "vitrine-triton": ("Triton", "#efb118"),
    "standalone": ("Milvus", "#3ca951"),
    "segcore": ("Milvus", "#3ca951"),  # its part in C++ has an exporter, and a name, of its own
}
_DIGITS: Final = 2
_NAMES_SHARE: Final = 0.5  # of the width that the bars have


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
        traces = []
        for query in (*_WARMING, *[_QUERY] * _TRIES):
            # With a number that was never asked for: the embedding of what was is in the gateway's cache.
            asked = {"query": f"{query} {secrets.randbelow(10_000)}", "limit": 20}
            answer = httpx.post(path, json=asked, timeout=30)
            answer.raise_for_status()
            traces.append(answer.headers["x-trace-id"])
        time.sleep(_SETTLED_S)
        found = [receiver.spans(trace) for trace in traces[len(_WARMING) :]]
    spans = next(spans for spans in reversed(found) if {span.service for span in spans} >= _EVERY)
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
    """Names on the left, indented by depth; on the right when each span was, and how long."""
    mpl.use("Agg")
    began, ended = ordered[0][1].start_ns, max(span.end_ns for _, span in ordered)
    total = (ended - began) / 1e6
    names = total * _NAMES_SHARE
    figure, axes = plt.subplots(figsize=(12, 0.27 * len(ordered) + 1.2), layout="constrained")
    for row, (depth, span) in enumerate(ordered):
        _, colour = _NAMES.get(span.service, ("", "#888888"))
        left, width = (span.start_ns - began) / 1e6, (span.end_ns - span.start_ns) / 1e6
        axes.barh(row, max(width, total / 600), left=left, height=0.66, color=colour)
        axes.text(-names + depth * total * 0.018, row, span.name, va="center", fontsize=8)
        # The duration stands behind its bar; near the right edge before it, and of the whole inside.
        behind = left + width < total * 0.9
        inside = left < total * 0.1 and not behind
        axes.text(
            left + width + total * 0.006 if behind else left + total * 0.006 * (1 if inside else -1),
            row,
            f"{width:.{_DIGITS}f} ms",
            va="center",
            ha="left" if behind or inside else "right",
            color="white" if inside else "black",
            fontsize=8,
        )
    services = {span.service for _, span in ordered}
    for name, colour in dict.fromkeys(label for service, label in _NAMES.items() if service in services):
        axes.barh(0, 0, color=colour, label=name)
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.96), frameon=False, fontsize=9)
    axes.set(ylim=(len(ordered) - 0.4, -0.6), xlim=(-names, total * 1.02), xlabel="ms", yticks=[])
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= total])
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main()
