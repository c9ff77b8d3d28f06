"""What a collection of a given size and load needs: memory, disk, query nodes, and the time its index takes to build.

Bytes come from `sizing`, CPU time from `costs`; docs/sizing.md says where each formula comes from and how far it may be
off. Prices are not here: they are of a place and a day.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.costs import MEASURED_KINDS, SearchCost, build_core_seconds, build_work_of, search_cost
from vitrine.tuning.sizing import Extent, Footprint, footprint, index_files, rows_memory, segments_of
from vitrine.vectorstore.index_params import INDEX_KINDS, IndexParams

GIB: Final = 1024**3
MIB: Final = 1024**2

# Milvus refuses to load above 90% of a node's memory (queryNode.overloadedMemoryThresholdPercentage); what is being
# loaded, segments that still grow and the server itself need the rest.
MEMORY_SHARE: Final = 0.75
# Above about this share of busy cores waiting times grow steeply.
CPU_SHARE: Final = 0.60
# Old segments stay in object storage until their collection time is over, while their compacted successors are there.
STORAGE_PEAK: Final = 2.0

_MANY_SEGMENTS: Final = 16

MAX_VECTORS: Final = 10**12
MAX_QPS: Final = 10**7
DIMENSIONS: Final = (2, 32_768)
_SUFFIXES: Final = {"k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of a collection.

    Args:
        vectors: products.
        dimension: of their vectors, float32.
        qps: searches a second, over all replicas.
        limit: hits of each search.
        replicas: copies in memory; two survive the loss of a node.
        row_bytes: key, texts and numbers of one product.
        segment_mib: dataCoord.segment.maxSize.

    Raises:
        InvalidInput, LimitExceeded: a figure out of bounds.
    """

    vectors: int
    dimension: int
    qps: float
    limit: int = 10
    replicas: int = 2
    row_bytes: int = 256
    segment_mib: int = 1_024

    def __post_init__(self) -> None:
        _within("vectors", self.vectors, 1, MAX_VECTORS)
        _within("dimension", self.dimension, *DIMENSIONS)
        _within("qps", self.qps, 0, MAX_QPS)
        _within("limit", self.limit, 1, 16_384)
        _within("replicas", self.replicas, 1, 64)
        _within("row-bytes", self.row_bytes, 8, 1024 * 1024)
        _within("segment-mib", self.segment_mib, 64, 65_536)


@dataclass(frozen=True, slots=True)
class Node:
    """One query node.

    Raises:
        LimitExceeded: a figure out of bounds.
    """

    memory_gib: float = 64.0
    cores: int = 16

    def __post_init__(self) -> None:
        _within("node-memory-gib", self.memory_gib, 1, 65_536)
        _within("node-cores", self.cores, 1, 4_096)

    @property
    def usable_memory(self) -> float:
        """Bytes that collections may take."""
        return self.memory_gib * GIB * MEMORY_SHARE


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """What one kind of index comes to.

    Args:
        extent: vectors and the segments they are spread over.
        footprint: of the vector index, one copy.
        rows_memory: bytes of everything beside the vectors, one copy.
        object_storage: bytes at rest: rows, vectors and index files.
        cost: CPU time of one search.
        build_core_s: CPU seconds to build every segment's index once.
        nodes_by_memory: that hold all replicas.
        nodes_by_qps: that answer the searches.
    """

    index: IndexParams
    demand: Demand
    extent: Extent
    footprint: Footprint
    rows_memory: float
    object_storage: float
    cost: SearchCost
    build_core_s: float
    nodes_by_memory: int
    nodes_by_qps: int

    @property
    def memory(self) -> float:
        """Bytes of one copy in memory."""
        return self.footprint.memory + self.rows_memory

    @property
    def memory_of_replicas(self) -> float:
        return self.memory * self.demand.replicas

    @property
    def local_disk_of_replicas(self) -> float:
        return self.footprint.local_disk * self.demand.replicas

    @property
    def object_storage_peak(self) -> float:
        """Bytes while everything is compacted or indexed anew."""
        return self.object_storage * STORAGE_PEAK

    @property
    def nodes(self) -> int:
        """Query nodes, the same number for each replica."""
        replicas = self.demand.replicas
        return replicas * math.ceil(max(self.nodes_by_memory, self.nodes_by_qps, replicas) / replicas)

    @property
    def bound_by(self) -> str:
        """What decides the number of nodes."""
        if self.nodes_by_qps > self.nodes_by_memory:
            return "searches"
        return "memory" if self.nodes_by_memory > self.demand.replicas else "replicas"

    @property
    def measured(self) -> bool:
        """Whether its CPU time comes from measurements of this kind, or from those of its relatives."""
        return self.index.index_type in MEASURED_KINDS

    def build_hours(self, cores: int) -> float:
        """Hours that `cores` cores take to build the index, all of them at work."""
        return self.build_core_s / cores / 3_600

    @property
    def drivers(self) -> tuple[str, ...]:
        """What the cost hangs on, in words."""
        size, graph = self.footprint, "graph_build" in build_work_of(self.index, self.extent)
        facts = (
            (self.bound_by == "searches", "CPU time of searches decides the nodes, not memory"),
            (
                self.extent.segments >= _MANY_SEGMENTS,
                f"every search looks into {self.extent.segments:,} segments: larger ones cost fewer cores",
            ),
            (size.vectors == self.extent.raw, "full vectors in memory, once for each replica"),
            (size.refine > size.vectors, "vectors kept for refining take more memory than the codes"),
            (self.rows_memory > size.memory, "the fields take more memory than the index"),
            (self.cost.reads > 0, "each search reads search_list sectors of local NVMe in every segment"),
            (size.local_disk > 0 and not self.cost.reads, "whole vectors of candidates are read from local disk"),
            (graph, "building links: M and efConstruction decide how long"),
        )
        return tuple(text for holds, text in facts if holds)


def plan_index(index: IndexParams, demand: Demand, node: Node) -> IndexPlan:
    """What one index needs to meet a demand.

    Raises:
        InvalidInput: the index cannot hold vectors of that dimension.
    """
    index.check_dimension(demand.dimension)
    segments = segments_of(demand.vectors, demand.dimension, demand.row_bytes, demand.segment_mib * MIB)
    extent = Extent(demand.vectors, demand.dimension, segments)
    size = footprint(index, extent)
    rows = rows_memory(demand.vectors, demand.row_bytes)
    cost = search_cost(index, extent, demand.limit)
    return IndexPlan(
        index=index,
        demand=demand,
        extent=extent,
        footprint=size,
        rows_memory=rows,
        object_storage=extent.raw + demand.vectors * demand.row_bytes + index_files(index, size),
        cost=cost,
        build_core_s=build_core_seconds(index, extent),
        nodes_by_memory=demand.replicas * math.ceil((size.memory + rows) / node.usable_memory),
        nodes_by_qps=math.ceil(demand.qps * cost.cpu_s / (node.cores * CPU_SHARE)),
    )


def plan_every_kind(demand: Demand, node: Node) -> list[IndexPlan]:
    """Each kind with its default settings; those that cannot hold vectors of the dimension are left out."""
    plans = []
    for kind in INDEX_KINDS.values():
        with suppress(InvalidInput):
            plans.append(plan_index(kind(), demand, node))
    return plans


def parse_count(text: str) -> int:
    """`1e9`, `100M`, `250k`, `1.5B` or `105542` as a number.

    Raises:
        InvalidInput: it is none, or not a whole one.
    """
    typed = text.strip().replace("_", "").replace(",", "")
    factor = _SUFFIXES.get(typed[-1:].lower(), 1)
    try:
        value = float(typed[:-1] if factor > 1 else typed) * factor
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value != round(value):
        raise InvalidInput(f"{text!r} is no whole number; such are 105542, 250k, 100M, 1.5B and 1e9.", value=text)
    return int(value)


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise LimitExceeded(
            f"{name} must be from {least:g} to {most:g}, not {value:g}.", parameter=name, minimum=least, maximum=most
        )
