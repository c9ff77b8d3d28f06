"""Bytes by formula, against examples worked out by hand in docs/sizing.md."""

import pytest

from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.tuning.costs import NANOSECONDS, build_work_of, search_cost, work_of
from vitrine.tuning.plan import Demand, Node, parse_count, plan_every_kind, plan_index
from vitrine.tuning.sizing import Extent, footprint, index_files, segments_of
from vitrine.vectorstore.index_params import (
    INDEX_KINDS,
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

MILLION = Extent(1_000_000, 512)
NODE = Node()


@pytest.mark.parametrize(
    ("index", "bytes_per_vector", "bytes_per_segment"),
    [
        (Flat(), 2_048, 0),
        # 32 links and a count below; 16 and a count on 1/15 floors above; a pointer and a level.
        (Hnsw(M=16), 2_048 + 132 + 68 / 15 + 12, 0),
        (IvfFlat(nlist=1_024), 2_048 + 8, 1_024 * 2_048),
        (IvfSq8(nlist=1_024), 512 + 8, 1_024 * 2_048 + 2 * 2_048),
        (IvfPq(nlist=1_024, m=8), 8 + 8, 1_024 * 2_048 + 256 * 2_048),
        (IvfPq(nlist=1_024, m=64, nbits=4), 32 + 8, 1_024 * 2_048 + 16 * 2_048),
        (IvfRabitq(nlist=1_024, refine=False), 64 + 8 + 8, 1_024 * 2_048 + 512 * 2_048),
        (IvfRabitq(nlist=1_024, refine_type="SQ8"), 64 + 8 + 8 + 512, 1_024 * 2_048 + 512 * 2_048),
        (HnswSq(M=16, sq_type="SQ6", refine_type="FP16"), 384 + 132 + 68 / 15 + 12 + 1_024, 0),
        (DiskAnn(), 2_048 * 0.225, 0),
    ],
)
def test_memory_is_that_of_the_index_layout(
    index: IndexParams, bytes_per_vector: float, bytes_per_segment: float
) -> None:
    assert footprint(index, MILLION).memory == pytest.approx(1e6 * bytes_per_vector + bytes_per_segment)
    in_four = footprint(index, Extent(1_000_000, 512, segments=4)).memory
    assert in_four == pytest.approx(1e6 * bytes_per_vector + 4 * bytes_per_segment)


@pytest.mark.parametrize(
    ("dimension", "bytes_per_vector"),
    [
        (96, 4_096 / 6),  # 612 bytes a node: six in a sector
        (512, 4_096),  # 2,276 bytes: one in a sector, which is twice the vector
        (1_024, 2 * 4_096),  # 4,324 bytes: two sectors
    ],
)
def test_a_graph_on_disk_takes_whole_sectors(dimension: int, bytes_per_vector: float) -> None:
    size = footprint(DiskAnn(), Extent(1_000_000, dimension))
    assert size.local_disk == pytest.approx(1e6 * bytes_per_vector)
    assert index_files(DiskAnn(), size) == size.local_disk


def test_hits_compared_again_need_the_vectors_on_local_disk_and_no_further_object_storage() -> None:
    plain, reranked = footprint(IvfPq(), MILLION), footprint(IvfPq(rerank=10), MILLION)
    assert (plain.local_disk, reranked.local_disk) == (0, MILLION.raw)
    assert index_files(IvfPq(rerank=10), reranked) == index_files(IvfPq(), plain) == plain.memory


def test_segments_hold_whole_rows() -> None:
    assert segments_of(105_542, 512, 256, 512 * 1024**2) == 1
    assert segments_of(1_000_000, 512, 256, 1024**3) == 3
    assert segments_of(10, 32_768, 256, 1_024) == 10


@pytest.mark.parametrize("kind", INDEX_KINDS.values())
def test_every_kind_has_bytes_and_costs(kind: type[IndexParams]) -> None:
    index = kind()
    assert footprint(index, MILLION).memory > 0
    assert search_cost(index, MILLION, 10).cpu_s > 0
    assert set(work_of(index, MILLION, 10)) | set(build_work_of(index, MILLION)) <= set(NANOSECONDS)


def test_a_search_costs_more_where_it_looks_at_more() -> None:
    def cost(index: IndexParams, extent: Extent = MILLION, limit: int = 10) -> float:
        return search_cost(index, extent, limit).cpu_s

    assert cost(Hnsw(ef=64)) < cost(Hnsw(ef=128)) < cost(Flat())
    assert cost(Hnsw(ef=64), limit=500) == cost(Hnsw(ef=500))
    assert cost(IvfFlat(nprobe=8)) < cost(IvfFlat(nprobe=64))
    # Lists for all of them are as dear as no lists, and the centroids come on top.
    assert cost(IvfFlat(nprobe=1_024)) > cost(Flat())
    assert cost(Hnsw(), Extent(1_000_000, 512, segments=10)) > cost(Hnsw())


def test_nodes_follow_what_is_scarcer_and_hold_whole_replicas() -> None:
    idle = plan_index(Hnsw(), Demand(vectors=100_000_000, dimension=512, qps=0, replicas=2), NODE)
    # 219.7 GB of index and 35.4 GB of rows in a copy, 51.5 GB usable in a node: five nodes, twice.
    assert (idle.nodes_by_memory, idle.nodes_by_qps, idle.nodes) == (10, 0, 10)
    assert idle.bound_by == "memory"
    busy = plan_index(Hnsw(), Demand(vectors=1_000_000, dimension=512, qps=20_000, replicas=3), NODE)
    assert busy.nodes == busy.nodes_by_qps + (-busy.nodes_by_qps) % 3
    assert busy.nodes_by_qps == -(-20_000 * busy.cost.cpu_s // (16 * 0.6))
    assert busy.bound_by == "searches"
    small = plan_index(Hnsw(), Demand(vectors=1_000, dimension=512, qps=1, replicas=3), NODE)
    assert (small.nodes, small.bound_by) == (3, "replicas")


def test_replicas_are_copies_in_memory_and_not_in_object_storage() -> None:
    one, two = (
        plan_index(DiskAnn(), Demand(vectors=10_000_000, dimension=512, qps=10, replicas=replicas), NODE)
        for replicas in (1, 2)
    )
    assert two.memory_of_replicas == 2 * one.memory_of_replicas
    assert two.local_disk_of_replicas == 2 * one.local_disk_of_replicas
    assert two.object_storage == one.object_storage


def test_an_index_that_cannot_hold_the_dimension_is_refused_when_asked_for_and_else_left_out() -> None:
    demand = Demand(vectors=1_000, dimension=100, qps=1)
    with pytest.raises(InvalidInput, match="100 is not a multiple of 64"):
        plan_index(IvfPq(m=64), demand, NODE)
    kinds = {plan.index.index_type for plan in plan_every_kind(demand, NODE)}
    assert kinds == {kind.index_type for kind in INDEX_KINDS.values()} - {"IVF_PQ"}


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("105542", 105_542),
        ("1e9", 10**9),
        ("100M", 10**8),
        ("250k", 250_000),
        ("1.5B", 1_500_000_000),
        ("1_000", 1_000),
    ],
)
def test_counts_are_written_as_people_write_them(typed: str, number: int) -> None:
    assert parse_count(typed) == number


@pytest.mark.parametrize("typed", ["", "many", "1.5", "1e400", "nan", "inf", "k", "10T", "1.0001k"])
def test_what_is_no_count_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput, match="is no whole number"):
        parse_count(typed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"vectors": 0},
        {"vectors": 10**13},
        {"dimension": 1},
        {"dimension": 40_000},
        {"qps": -1},
        {"replicas": 0},
        {"limit": 20_000},
        {"segment_mib": 1},
    ],
)
def test_figures_out_of_bounds_are_refused_with_the_bounds(wrong: dict[str, int]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        Demand(**{"vectors": 1_000, "dimension": 64, "qps": 1, **wrong})
    assert {"minimum", "maximum"} <= set(caught.value.details)


@pytest.mark.parametrize("node", [{"memory_gib": 0}, {"cores": 0}])
def test_a_node_without_memory_or_cores_is_refused(node: dict[str, int]) -> None:
    with pytest.raises(LimitExceeded):
        Node(**node)
