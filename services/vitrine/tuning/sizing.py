"""How many bytes an index takes: in memory, on local disk, in object storage. docs/sizing.md has the sources.

All of it is arithmetic over the layouts that Milvus's index library writes; nothing here asks a server.
"""

import math
from dataclasses import dataclass
from functools import singledispatch
from typing import Final

from vitrine.errors import InternalError
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

FLOAT: Final = 4
_LINK = 4
"""A neighbour's number in a graph."""
_ROW_NUMBER = 8
"""What an inverted list keeps beside each code."""
_COMPONENT_BYTES: Final = {"SQ6": 0.75, "SQ8": 1.0, "FP16": 2.0, "BF16": 2.0, "FP32": 4.0}

# Milvus's settings common.DiskIndex.*, as they ship.
DISKANN_DEGREE: Final = 56
DISKANN_CODE_SHARE: Final = 0.125
DISKANN_CACHE_SHARE: Final = 0.10
SECTOR: Final = 4_096

# A row beside its vector, in a sealed segment: the key's entry in the map from keys to rows (a 32-byte string and a
# row number), timestamp, row number, offsets of five texts, and the key's bits in a Bloom filter.
ROW_OVERHEAD: Final = 40 + 8 + 8 + 5 * 8 + 2


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes of an index, one copy of it.

    Args:
        vectors: vectors or their codes, in memory.
        structure: what leads to them, in memory: links, lists, centroids, codebooks.
        refine: vectors kept to check candidates again, in memory.
        local_disk: on the query node's own disk: of DISKANN the index; of compressed indexes whose hits are compared
            again, the vectors.
        uncertainty: how far the memory may be off, as a share; see docs/sizing.md.
    """

    vectors: float
    structure: float
    refine: float = 0.0
    local_disk: float = 0.0
    uncertainty: float = 0.10

    @property
    def memory(self) -> float:
        return self.vectors + self.structure + self.refine


@dataclass(frozen=True, slots=True)
class Extent:
    """What is indexed.

    Args:
        vectors: how many, in all.
        dimension: of each.
        segments: over which they are spread evenly; Milvus builds an index for each.
    """

    vectors: int
    dimension: int
    segments: int = 1

    @property
    def raw(self) -> int:
        """Bytes of the vectors alone."""
        return self.vectors * self.dimension * FLOAT

    @property
    def in_segment(self) -> float:
        """Vectors in one segment."""
        return self.vectors / self.segments


def segments_of(vectors: int, dimension: int, row_bytes: int, segment_bytes: int) -> int:
    """Sealed segments once compaction has merged what it can; a segment's size counts whole rows."""
    per_segment = max(1, segment_bytes // (dimension * FLOAT + row_bytes))
    return max(1, math.ceil(vectors / per_segment))


def rows_memory(vectors: int, row_bytes: int) -> float:
    """Bytes of everything beside the vectors, which every kind of index keeps in memory.

    Args:
        row_bytes: keys, texts and numbers of one product.
    """
    return float(vectors * (row_bytes + ROW_OVERHEAD))


@singledispatch
def footprint(index: IndexParams, extent: Extent) -> Footprint:
    """Bytes of one copy of an index over an extent."""
    raise InternalError(f"There is no formula for {index.index_type}.")


@footprint.register
def _flat(index: Flat, extent: Extent) -> Footprint:
    return Footprint(vectors=extent.raw, structure=0.0)


@footprint.register
def _hnsw(index: Hnsw, extent: Extent) -> Footprint:
    return Footprint(vectors=extent.raw, structure=_graph(extent.vectors, index.M))


@footprint.register
def _hnsw_sq(index: HnswSq, extent: Extent) -> Footprint:
    return Footprint(
        vectors=_coded(extent, index.sq_type),
        structure=_graph(extent.vectors, index.M),
        refine=_coded(extent, index.refine_type) if index.refine else 0.0,
        uncertainty=0.25,
    )


@footprint.register
def _ivf_flat(index: IvfFlat, extent: Extent) -> Footprint:
    return Footprint(vectors=extent.raw, structure=_lists(extent, index.nlist))


@footprint.register
def _ivf_sq8(index: IvfSq8, extent: Extent) -> Footprint:
    ranges = extent.segments * 2 * extent.dimension * FLOAT
    return Footprint(
        vectors=_coded(extent, "SQ8"),
        structure=_lists(extent, index.nlist) + ranges,
        local_disk=extent.raw if index.rerank else 0.0,
    )


@footprint.register
def _ivf_pq(index: IvfPq, extent: Extent) -> Footprint:
    codes = extent.vectors * math.ceil(index.m * index.nbits / 8)
    codebooks = extent.segments * 2**index.nbits * extent.dimension * FLOAT
    return Footprint(
        vectors=codes,
        structure=_lists(extent, index.nlist) + codebooks,
        local_disk=extent.raw if index.rerank else 0.0,
        uncertainty=0.20,
    )


@footprint.register
def _ivf_rabitq(index: IvfRabitq, extent: Extent) -> Footprint:
    codes = extent.vectors * (math.ceil(extent.dimension / 8) + 2 * FLOAT)
    rotation = extent.segments * extent.dimension**2 * FLOAT
    return Footprint(
        vectors=codes,
        structure=_lists(extent, index.nlist) + rotation,
        refine=_coded(extent, index.refine_type) if index.refine else 0.0,
        uncertainty=0.25,
    )


@footprint.register
def _diskann(index: DiskAnn, extent: Extent) -> Footprint:
    node = extent.dimension * FLOAT + (DISKANN_DEGREE + 1) * _LINK
    per_sector = SECTOR // node
    sectors = extent.vectors / per_sector if per_sector else extent.vectors * math.ceil(node / SECTOR)
    return Footprint(
        vectors=extent.raw * DISKANN_CODE_SHARE,
        structure=extent.raw * DISKANN_CACHE_SHARE,
        local_disk=sectors * SECTOR,
        uncertainty=0.30,
    )


def index_files(index: IndexParams, size: Footprint) -> float:
    """What the index's files take in object storage: what of it is loaded into memory, or onto the local disk."""
    return size.local_disk if isinstance(index, DiskAnn) else size.memory


def _graph(vectors: int, m: int) -> float:
    """Links of a hierarchical graph: 2M and a count on the ground floor; M and a count on each floor above.

    A vector reaches floor n with probability M^-n, so it stands on 1/(M-1) upper floors on average.
    """
    ground = 2 * m * _LINK + _LINK
    upper = (m * _LINK + _LINK) / (m - 1)
    pointer_and_level = 8 + 4
    return vectors * (ground + upper + pointer_and_level)


def _lists(extent: Extent, nlist: int) -> float:
    """Row numbers of all vectors, and each segment's centroids."""
    return extent.vectors * _ROW_NUMBER + extent.segments * nlist * extent.dimension * FLOAT


def _coded(extent: Extent, code: str) -> float:
    return extent.vectors * math.ceil(extent.dimension * _COMPONENT_BYTES[code])
