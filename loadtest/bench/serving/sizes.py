"""How large a run is: what is built for it, and how long each part of it is measured."""

from dataclasses import dataclass
from typing import Final, Literal

from vitrine.vectorstore.index_params import Hnsw

LIMIT: Final = 10
"""Hits of every search of a run: those of recall@10."""
RECALL: Final = 0.95
"""What the search setting of a run must reach, for the texts of the made-up shop and for the texts that are timed."""
INDEX: Final = Hnsw(M=32, efConstruction=400)
"""Of the collections that gateways search: reaches that recall for texts at less than half the `ef` that the defaults
need, so a search compares fewer vectors (docs/performance.md)."""
PRECISIONS: Final = ("fp32", "int8")
"""Of the text model; each has a model repository, a Triton, two gateways and a collection of its own."""


@dataclass(frozen=True)
class Size:
    """One of the sizes.

    Args:
        name: of the folder that keeps what was built.
        checkpoint: see `vitrine.models.random_clip`.
        rows: products.
        nlist: lists of the recipe's IVF_PQ.
        texts: different short queries that are asked uncached.
        judged: texts of each kind whose recall is told; those that are asked in turns are among them.
        rounds: calls of each system, one after the other in turns.
        slice_s: seconds of load on one system before it is the next one's turn.
        slices: of each system at each number of callers.
        levels: callers at once, for every system.
        further_levels: for gateways alone, whose best throughput is looked for.
        overload_s: seconds of too many arrivals.
        step_s: seconds of each step of load that the model of cost is checked on.
        settle_s: seconds that Milvus gets to give back memory before it is read.
        merge_s: seconds without fewer segments, after which they count as merged.
    """

    name: str
    checkpoint: Literal["vit-b-32", "tiny"]
    rows: int
    nlist: int
    texts: int
    judged: int
    rounds: int
    slice_s: float
    slices: int
    levels: tuple[int, ...]
    further_levels: tuple[int, ...]
    overload_s: float
    step_s: float
    settle_s: int
    merge_s: float


QUICK: Final = Size(
    name="quick",
    checkpoint="tiny",
    rows=5_000,
    nlist=64,
    texts=400,
    judged=200,
    rounds=40,
    slice_s=0.5,
    slices=1,
    levels=(1, 8, 32, 64),
    further_levels=(4,),
    overload_s=3.0,
    step_s=1.0,
    settle_s=1,
    merge_s=2.0,
)
FULL: Final = Size(
    name="full",
    checkpoint="vit-b-32",
    rows=105_542,
    nlist=1_024,
    texts=4_000,
    judged=1_000,
    rounds=400,
    slice_s=4.0,
    slices=3,
    levels=(1, 8, 32, 64),
    further_levels=(4, 6, 10, 12, 14, 16, 20, 24),
    overload_s=60.0,
    step_s=8.0,
    settle_s=10,
    merge_s=20.0,
)
SIZES: Final = {"quick": QUICK, "full": FULL, "large": FULL}
"""By the word that `BENCH` takes; large is full, and then a million vectors beside it."""
LARGE_ROWS: Final = 1_000_000
