import json

import pytest

from vitrine.errors import InvalidInput, LimitExceeded
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
    index_from_description,
    parse_index,
)


@pytest.mark.parametrize("kind", INDEX_KINDS.values())
def test_every_kind_has_usable_defaults_and_survives_its_description(kind: type[IndexParams]) -> None:
    index = kind()
    index.check_dimension(512)
    index.search_params({}, limit=250)
    assert set(index.build_params()).isdisjoint(index.search_names)
    assert index_from_description(json.loads(json.dumps(index.describe()))) == index
    assert all(part.isdigit() for part in kind.minimum_server.split("."))


def test_what_was_typed_changes_the_defaults() -> None:
    assert parse_index("hnsw", {"M": "32", "ef": 100}) == Hnsw(M=32, ef=100)
    assert parse_index("IVF-PQ", {"m": "32"}) == IvfPq(m=32)
    assert parse_index("hnsw_sq", {"refine": "false", "sq_type": "sq6"}) == HnswSq(refine=False, sq_type="SQ6")


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("scann", {}, "There is no index 'scann'; there are flat, hnsw"),
        ("hnsw", {"nlist": "5"}, "HNSW has no parameter 'nlist'; it has M, efConstruction, ef"),
        ("hnsw", {"M": "many"}, "M must be a whole number"),
        ("hnsw_sq", {"sq_type": "SQ1"}, "sq_type must be one of SQ6, SQ8"),
        ("ivf_rabitq", {"refine": "maybe"}, "refine must be true or false"),
    ],
)
def test_what_does_not_exist_is_refused(name: str, overrides: dict[str, str | int], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_index(name, overrides)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("hnsw", {"M": 3}),
        ("hnsw", {"M": "65"}),
        ("hnsw", {"efConstruction": 7}),
        ("hnsw", {"M": True}),
        ("ivf_flat", {"nlist": 0}),
        ("ivf_pq", {"nbits": 17}),
        ("diskann", {"search_list": 0}),
    ],
)
def test_numbers_out_of_bounds_are_refused_with_the_bounds(name: str, overrides: dict[str, str | int]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        parse_index(name, overrides)
    assert {"minimum", "maximum"} <= set(caught.value.details)


def test_the_candidate_list_grows_with_the_hits_wanted_unless_the_caller_sets_it() -> None:
    index = Hnsw(ef=64)
    assert index.search_params({}, limit=10) == {"ef": 64}
    assert index.search_params({}, limit=200) == {"ef": 200}
    assert index.search_params({"ef": 300}, limit=200) == {"ef": 300}
    with pytest.raises(LimitExceeded, match="ef must be at least 200 to return 200 hits, not 100"):
        index.search_params({"ef": 100}, limit=200)
    assert DiskAnn().search_params({}, limit=150) == {"search_list": 150}


@pytest.mark.parametrize("index", [*(kind() for kind in INDEX_KINDS.values()), HnswSq(refine=False)])
def test_the_defaults_of_searches_can_be_given_back(index: IndexParams) -> None:
    assert index.with_search(index.search_settings()) == index
    assert index.search_settings() == index.search_params({}, limit=1)


def test_an_index_can_be_given_other_defaults_for_its_searches_and_for_nothing_else() -> None:
    assert Hnsw(M=32).with_search({"ef": 200}) == Hnsw(M=32, ef=200)
    assert Hnsw(ef=200).search_settings() == {"ef": 200}
    assert Hnsw().with_search({}) == Hnsw()
    with pytest.raises(InvalidInput, match="takes no parameter 'M'"):
        Hnsw().with_search({"M": 32})
    with pytest.raises(LimitExceeded, match="nprobe must be at most nlist"):
        IvfFlat(nlist=16).with_search({"nprobe": 17})


def test_a_search_that_reaches_deeper_than_its_caller_knows_raises_what_the_caller_set() -> None:
    index = Hnsw(ef=64)
    assert index.search_params({}, limit=10, reach=500) == {"ef": 500}
    assert index.search_params({"ef": 16}, limit=10, reach=500) == {"ef": 500}
    assert index.search_params({"ef": 600}, limit=10, reach=500) == {"ef": 600}
    assert index.search_params({}, limit=10, reach=50_000) == {"ef": 32_768}
    assert IvfFlat().search_params({"nprobe": 4}, limit=10, reach=500) == {"nprobe": 4}
    with pytest.raises(LimitExceeded, match="ef must be at least 10"):
        index.search_params({"ef": 9}, limit=10, reach=500)


def test_a_search_may_not_ask_for_more_lists_than_there_are() -> None:
    index = IvfFlat(nlist=128, nprobe=16)
    assert index.search_params({"nprobe": 128}, limit=10) == {"nprobe": 128}
    assert IvfFlat(nlist=8, nprobe=16).search_params({}, limit=10) == {"nprobe": 8}
    with pytest.raises(LimitExceeded, match="nprobe must be at most nlist, which is 128, not 129"):
        index.search_params({"nprobe": 129}, limit=10)


def test_compressed_kinds_can_be_reranked_within_what_can_be_compared() -> None:
    assert IvfPq().search_params({}, limit=10)["rerank"] == 0
    assert IvfPq(rerank=10).search_params({}, limit=10)["rerank"] == 10
    assert IvfSq8().search_params({"rerank": 4}, limit=250)["rerank"] == 4
    assert IvfPq(rerank=10).search_params({}, limit=250, reach=5_000)["rerank"] == 10
    with pytest.raises(LimitExceeded, match="rerank must be at most 8 to return 250 hits, not 10") as caught:
        IvfPq().search_params({"rerank": 10}, limit=250)
    assert caught.value.details["maximum"] == 8
    with pytest.raises(LimitExceeded, match="rerank must be a whole number from 0 to 64"):
        IvfPq().search_params({"rerank": 65}, limit=10)
    assert "rerank" not in IvfPq(rerank=10).build_params()


@pytest.mark.parametrize("index", [Hnsw(), IvfFlat(), Flat(), HnswSq(), IvfRabitq(), DiskAnn()])
def test_kinds_that_compare_whole_vectors_or_refine_themselves_are_not_reranked(index: IndexParams) -> None:
    with pytest.raises(InvalidInput, match="takes no parameter 'rerank'"):
        index.search_params({"rerank": 10}, limit=10)


def test_refining_is_told_to_milvus_when_the_index_was_built_for_it() -> None:
    built = {"M": 16, "efConstruction": 200, "sq_type": "SQ6", "refine": True, "refine_type": "FP16"}
    index = HnswSq(sq_type="SQ6", refine_type="FP16", refine_k=3)
    assert index.build_params() == built
    assert index.search_params({}, limit=10) == {"ef": 64, "refine_k": 3}
    assert index.search_params({"refine_k": 8}, limit=100) == {"ef": 100, "refine_k": 8}
    assert IvfRabitq().build_params() == {"nlist": 1_024, "refine": True, "refine_type": "SQ8"}
    assert IvfRabitq().search_params({}, limit=10) == {"nprobe": 64, "refine_k": 4, "rbq_query_bits": 0}


@pytest.mark.parametrize("kind", [HnswSq, IvfRabitq])
def test_an_index_without_a_finer_form_takes_no_refine_k(kind: type[HnswSq] | type[IvfRabitq]) -> None:
    index = kind(refine=False)
    assert "refine_type" not in index.build_params()
    assert "refine_k" not in index.search_params({}, limit=10)
    with pytest.raises(InvalidInput, match="was built without refine: it takes no refine_k"):
        index.search_params({"refine_k": 2}, limit=10)


@pytest.mark.parametrize("index", [Flat(), Hnsw(), IvfPq(), IvfRabitq()])
def test_a_search_takes_only_its_index_own_parameters(index: IndexParams) -> None:
    with pytest.raises(InvalidInput, match="takes no parameter 'M'"):
        index.search_params({"M": 16}, limit=10)


def test_codes_must_divide_the_dimension() -> None:
    IvfPq(m=64).check_dimension(512)
    with pytest.raises(InvalidInput, match="512 is not a multiple of 100") as caught:
        IvfPq(m=100).check_dimension(512)
    assert caught.value.details["allowed"] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_only_building_parameters_are_built_with() -> None:
    assert Hnsw().build_params() == {"M": 16, "efConstruction": 200}
    assert IvfPq(nlist=512, m=64).build_params() == {"nlist": 512, "m": 64, "nbits": 8}
    assert Flat().build_params() == {}
