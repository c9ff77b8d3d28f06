"""Do the sizing formulas of `vitrine plan` agree with memory that was measured?

Reads what `recall_table.py --json FILE` wrote, in which each index was loaded into a server started anew, and prints
for each the memory measured (anonymous memory of the Milvus process, less what it takes idle), the memory predicted,
and their ratio.

    python loadtest/bench/recall_table.py --rows 105542 --json recall.json
    python loadtest/bench/check_sizing.py recall.json

Exit status: 0 when every ratio is within the stated uncertainty and the allowance, 1 when one is not, 2 when the file
cannot be used. The allowance, 48 MiB by default, is for what a search needs whatever the index: buffers, caches of
recently read segments, and garbage that Go has not collected yet.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrine.errors import VitrineError
from vitrine.tuning.sizing import Extent, footprint, rows_memory, segments_of
from vitrine.vectorstore.index_params import parse_index

MIB = 1024**2


@dataclass(frozen=True)
class Compared:
    """One index, in bytes."""

    index: str
    measured: float
    predicted: float
    uncertainty: float

    @property
    def ratio(self) -> float:
        return self.measured / self.predicted

    def within(self, allowance: float) -> bool:
        """Whether the prediction's interval, and the allowance above it, hold what was measured."""
        least = self.predicted * (1 - self.uncertainty)
        return least <= self.measured <= self.predicted * (1 + self.uncertainty) + allowance


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
        found.append(
            Compared(f"{index.index_type} {told}".rstrip(), build["memory_bytes"], predicted, size.uncertainty)
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="JSON of recall_table.py")
    parser.add_argument("--row-bytes", type=int, default=16, help="of its rows: an id of ten digits and no texts")
    parser.add_argument("--segment-mib", type=int, default=512, help="dataCoord.segment.maxSize of its Milvus")
    parser.add_argument("--allowance-mib", type=float, default=48.0, help="what any search needs")
    arguments = parser.parse_args()
    try:
        report = json.loads(arguments.report.read_text(encoding="utf-8"))
        compared = compare(report, arguments.row_bytes, arguments.segment_mib)
    except (OSError, KeyError, TypeError, ValueError, VitrineError) as error:
        print(f"{arguments.report} cannot be used: {error!r}", file=sys.stderr)
        sys.exit(2)
    if not compared:
        print(f"{arguments.report} holds no measured memory.", file=sys.stderr)
        sys.exit(2)
    print(f"{report['rows']:,} vectors of {report['dimension']}\n")
    print("| index | measured MiB | predicted MiB | measured / predicted | stated |")
    print("|---|---:|---:|---:|---|")
    outside = False
    for one in compared:
        within = one.within(arguments.allowance_mib * MIB)
        outside |= not within
        print(
            f"| {one.index} | {one.measured / MIB:.0f} | {one.predicted / MIB:.0f} | {one.ratio:.2f} "
            f"| ±{one.uncertainty:.0%}{'' if within else ', missed'} |"
        )
    sys.exit(1 if outside else 0)


if __name__ == "__main__":
    main()
