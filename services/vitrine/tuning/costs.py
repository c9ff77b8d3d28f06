"""CPU time of a search and of building an index: counts of work by formula, times constants that were measured.

The counts follow from each algorithm; the nanoseconds are of one machine and come from
`python loadtest/bench/search_cost.py`. docs/sizing.md has both, and how far they may be off.
"""

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Final, TypeAlias

from vitrine.errors import InternalError
from vitrine.tuning.sizing import DISKANN_DEGREE, Extent
from vitrine.vectorstore.index_params import (
    DiskAnn,
    Flat,
    Hnsw,
    HnswSq,
    IndexParams,
    IvfFlat,
    IvfPq,
    IvfRabitq,
    IvfSq8,
)

# faiss: ClusteringParameters.max_points_per_centroid; rounds of an inverted file's and of a codebook's k-means.
_SAMPLES_PER_CENTROID: Final = 256
_CLUSTER_ROUNDS: Final = 10
_CODEBOOK_ROUNDS: Final = 25
_DISKANN_CANDIDATES: Final = 100

# CPU nanoseconds of one step of each kind, by `python loadtest/bench/search_cost.py --rows 10000 40000`.
NANOSECONDS: Final = {
    "scan": 0.29,
    "scan_sq8": 0.14,
    "lookup": 0.43,
    "graph": 0.50,
    # 0.2 fits 10,000 vectors and 0.3 fits 40,000, as graphs outgrow the caches; segments to plan for are larger still.
    "graph_build": 0.5,
    "cluster": 0.085,
    "codebook": 16.0,
    "disk_read": 10_000.0,  # an assumption: nothing here has run DISKANN
}
SEARCH_CPU_S: Final = 0.00165
"""CPU seconds of any search, whatever it looks at: the proxy, scheduling, joining answers."""
MEASURED_KINDS: Final = frozenset({"FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "IVF_PQ"})
"""Kinds that the local server builds, so that their cost was measured. The others' follow from the same steps."""

Work: TypeAlias = dict[str, float]
"""How many steps of each kind, by the names of `NANOSECONDS`."""


@dataclass(frozen=True, slots=True)
class SearchCost:
    """CPU time of one search.

    Args:
        fixed_s: seconds that any search takes.
        work_s: seconds of looking into all segments.
        reads: sectors read from local disk.
    """

    fixed_s: float
    work_s: float
    reads: float = 0.0

    @property
    def cpu_s(self) -> float:
        return self.fixed_s + self.work_s


def search_cost(index: IndexParams, extent: Extent, limit: int) -> SearchCost:
    """CPU time of one search with the index's own search settings."""
    work = work_of(index, extent, limit)
    return SearchCost(SEARCH_CPU_S, _seconds(work), work.get("disk_read", 0.0))


def build_core_seconds(index: IndexParams, extent: Extent) -> float:
    """CPU seconds to build every segment's index once; compaction may build some of them again."""
    return _seconds(build_work_of(index, extent))


def _seconds(work: Work) -> float:
    return sum(steps * NANOSECONDS[name] for name, steps in work.items()) * 1e-9


@singledispatch
def work_of(index: IndexParams, extent: Extent, limit: int) -> Work:
    """Steps of one search in all segments of an extent.

    Args:
        limit: hits wanted.
    """
    raise InternalError(f"There is no formula for {index.index_type}.")


@work_of.register
def _flat(index: Flat, extent: Extent, limit: int) -> Work:
    return _in_all(extent, {"scan": extent.in_segment * extent.dimension})


@work_of.register
def _hnsw(index: Hnsw, extent: Extent, limit: int) -> Work:
    return _in_all(extent, {"graph": _compared(index.ef, index.M, extent, limit) * extent.dimension})


@work_of.register
def _hnsw_sq(index: HnswSq, extent: Extent, limit: int) -> Work:
    compared = _compared(index.ef, index.M, extent, limit)
    again = limit * index.refine_k if index.refine else 0
    return _in_all(extent, {"graph": (compared + again) * extent.dimension})


@work_of.register
def _diskann(index: DiskAnn, extent: Extent, limit: int) -> Work:
    return _in_all(extent, {"disk_read": float(max(index.search_list, limit))})


@work_of.register
def _ivf_flat(index: IvfFlat, extent: Extent, limit: int) -> Work:
    share = min(1.0, index.nprobe / index.nlist)
    return _in_all(extent, {"scan": (index.nlist + share * extent.in_segment) * extent.dimension})


@work_of.register
def _ivf_sq8(index: IvfSq8, extent: Extent, limit: int) -> Work:
    share = min(1.0, index.nprobe / index.nlist)
    return _in_all(
        extent,
        {"scan": index.nlist * extent.dimension, "scan_sq8": share * extent.in_segment * extent.dimension},
    )


@work_of.register
def _ivf_pq(index: IvfPq, extent: Extent, limit: int) -> Work:
    share = min(1.0, index.nprobe / index.nlist)
    tables = 2**index.nbits * extent.dimension
    return _in_all(
        extent,
        {"scan": index.nlist * extent.dimension + tables, "lookup": share * extent.in_segment * index.m},
    )


@work_of.register
def _ivf_rabitq(index: IvfRabitq, extent: Extent, limit: int) -> Work:
    share = min(1.0, index.nprobe / index.nlist)
    again = limit * index.refine_k * extent.dimension if index.refine else 0
    # Eight one-bit components are looked at in one step, as eight bits of a code are.
    return _in_all(
        extent,
        {
            "scan": index.nlist * extent.dimension + again,
            "lookup": share * extent.in_segment * math.ceil(extent.dimension / 8),
        },
    )


@singledispatch
def build_work_of(index: IndexParams, extent: Extent) -> Work:
    """Steps of building the index of every segment once; none for an index that only lists its vectors."""
    raise InternalError(f"There is no formula for {index.index_type}.")


@build_work_of.register
def _build_flat(index: Flat, extent: Extent) -> Work:
    return {}


@build_work_of.register(Hnsw)
@build_work_of.register(HnswSq)
def _build_graph(index: Hnsw | HnswSq, extent: Extent) -> Work:
    compared = _compared(index.efConstruction, index.M, extent, limit=0)
    return {"graph_build": extent.vectors * compared * extent.dimension}


@build_work_of.register
def _build_diskann(index: DiskAnn, extent: Extent) -> Work:
    # As a graph with the candidate list and half the degree of common.DiskIndex, built in two passes.
    compared = _compared(_DISKANN_CANDIDATES, DISKANN_DEGREE // 2, extent, limit=0)
    return {"graph_build": 2 * extent.vectors * compared * extent.dimension}


@build_work_of.register(IvfFlat)
@build_work_of.register(IvfSq8)
@build_work_of.register(IvfRabitq)
def _build_lists(index: IvfFlat | IvfSq8 | IvfRabitq, extent: Extent) -> Work:
    return {"cluster": _clustering(index.nlist, extent)}


@build_work_of.register
def _build_pq(index: IvfPq, extent: Extent) -> Work:
    codes = 2**index.nbits
    trained = min(extent.in_segment, _SAMPLES_PER_CENTROID * codes) * _CODEBOOK_ROUNDS
    # One comparison in a codebook costs about the same whatever few components it covers.
    compared = (trained + extent.in_segment) * codes * index.m
    return {"cluster": _clustering(index.nlist, extent), "codebook": compared * extent.segments}


def _clustering(nlist: int, extent: Extent) -> float:
    """Components compared to find the centroids of each segment, and then each vector's own."""
    trained = min(extent.in_segment, _SAMPLES_PER_CENTROID * nlist) * _CLUSTER_ROUNDS
    return (trained + extent.in_segment) * nlist * extent.dimension * extent.segments


def _compared(ef: int, m: int, extent: Extent, limit: int) -> float:
    """Vectors compared on the way through a graph: 2M neighbours of each candidate, most of them seen before, and the
    way down from the top, which grows with the logarithm."""
    return m * (max(ef, limit) + math.log2(max(2.0, extent.in_segment)))


def _in_all(extent: Extent, work: Work) -> Work:
    """A search looks into every segment."""
    return {name: steps * extent.segments for name, steps in work.items()}
