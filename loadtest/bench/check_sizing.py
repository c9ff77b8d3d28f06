"""Do the sizing formulas of `vitrine plan` agree with memory that was measured?

Reads what `recall_table.py --json FILE` wrote, in which each index was loaded into a server started anew, and prints
for each the memory measured (anonymous memory of the Milvus process, less what it takes idle), the memory predicted,
and their ratio.

    python loadtest/bench/recall_table.py --rows 105542 --json recall.json
    python loadtest/bench/check_sizing.py recall.json

A loaded and searched collection also takes what does not grow with it: buffers, thread stacks, garbage that Go has not
collected yet. Tens of MiB, they hide what a small index takes. The allowance (`--allowance-mib`) is for them; of two
files of different row counts,

    python loadtest/bench/check_sizing.py recall_105542.json recall_1000000.json

the growth from the one to the other is compared too, in which they cancel out.

Exit status: 0 when every measured figure is within the stated uncertainty (and the allowance), 1 when one is not, 2
when a file cannot be used.
"""

import argparse
import itertools
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vitrine.errors import VitrineError
from vitrine.tuning.sizing import Extent, footprint, rows_memory, segments_of
from vitrine.vectorstore.index_params import parse_index

MIB = 1024**2


@dataclass(frozen=True)
class Compared:
    """One index, in bytes; `loading` is what one segment's index takes while it is read, which is freed late."""

    index: str
    measured: float
    predicted: float
    loading: float
    uncertainty: float

    @property
    def ratio(self) -> float:
        return self.measured / self.predicted

    def within(self, allowance: float) -> bool:
        """Whether the prediction's interval, with what loading takes and the allowance above it, holds the measured."""
        least = self.predicted * (1 - self.uncertainty)
        return least <= self.measured <= self.predicted * (1 + self.uncertainty) + self.loading + allowance


def compare(report: dict[str, Any], row_bytes: int, segment_mib: int) -> list[Compared]:
    """Every build of a report whose memory was measured.

    Raises:
        KeyError, TypeError, ValueError: it is no such report.
        VitrineError: an index of it is none.
    """
    rows, dimension = int(report["rows"]), int(report["dimension"])
    segments = segments_of(rows, dimension, row_bytes, segment_mib * MIB)
    found = []
    for build in report["builds"]:
        if build["memory_bytes"] is None:
            continue
        index = parse_index(build["index_type"], build["params"])
        size = footprint(index, Extent(rows, dimension, segments))
        told = ", ".join(f"{name} {value}" for name, value in build["params"].items())
        predicted = size.memory + rows_memory(rows, row_bytes)
        name, loading = f"{index.index_type} {told}".rstrip(), size.memory / segments
        found.append(Compared(name, build["memory_bytes"], predicted, loading, size.uncertainty))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+", help="JSON of recall_table.py, of rising row counts")
    parser.add_argument("--row-bytes", type=int, default=46, help="of its rows: an id, a short title and a path")
    parser.add_argument("--segment-mib", type=int, default=512, help="dataCoord.segment.maxSize of its Milvus")
    parser.add_argument("--allowance-mib", type=float, default=80.0, help="what does not grow")
    arguments = parser.parse_args()
    found = []
    for path in arguments.reports:
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            found.append((int(report["rows"]), compare(report, arguments.row_bytes, arguments.segment_mib)))
        except (OSError, KeyError, TypeError, ValueError, VitrineError) as error:
            print(f"{path} cannot be used: {error!r}", file=sys.stderr)
            sys.exit(2)
        if not found[-1][1]:
            print(f"{path} holds no measured memory.", file=sys.stderr)
            sys.exit(2)
    held = [show(f"{rows:,} vectors", compared, arguments.allowance_mib * MIB) for rows, compared in found]
    for (fewer, before), (more, after) in itertools.pairwise(found):
        held.append(show(f"from {fewer:,} to {more:,} vectors", growth(before, after), 0.0))
    sys.exit(0 if all(held) else 1)


def growth(before: list[Compared], after: list[Compared]) -> list[Compared]:
    """What each index that is in both took more."""
    earlier = {one.index: one for one in before}
    return [
        replace(
            one,
            measured=one.measured - earlier[one.index].measured,
            predicted=one.predicted - earlier[one.index].predicted,
            loading=max(0.0, one.loading - earlier[one.index].loading),
        )
        for one in after
        if one.index in earlier and one.predicted > earlier[one.index].predicted
    ]


def show(title: str, compared: list[Compared], allowance: float) -> bool:
    """Prints a table; whether all of it is within."""
    print(f"{title}\n")
    print("| index | measured MiB | predicted MiB | measured / predicted | stated | loading MiB |")
    print("|---|---:|---:|---:|---|---:|")
    for one in compared:
        missed = "" if one.within(allowance) else ", missed"
        print(
            f"| {one.index} | {one.measured / MIB:.0f} | {one.predicted / MIB:.0f} | {one.ratio:.2f} "
            f"| ±{one.uncertainty:.0%}{missed} | {one.loading / MIB:.0f} |"
        )
    print()
    return all(one.within(allowance) for one in compared)


if __name__ == "__main__":
    main()
