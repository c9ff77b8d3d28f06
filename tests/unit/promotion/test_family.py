from dataclasses import replace

from tests.unit.promotion.conftest import DAY, Make
from vitrine.promotion.family import State, alias_of, members
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.lineage import NO_LINEAGE


def states(*infos: CollectionInfo) -> dict[str, State]:
    return {member.info.name: member.state for member in members(infos, "shop")}


def test_what_each_collection_is_follows_from_the_alias_and_the_lineages(collection: Make) -> None:
    assert states(
        collection(1),
        collection(2, promoted_at=DAY, replaces="shop_v1"),
        collection(3, promoted_at=DAY, replaces="shop_v2", live=True),
        collection(4, promoted_at=DAY, replaces="shop_v3", rolled_back_at=DAY),
        collection(5),
        collection(6, finished=False),
    ) == {
        "shop_v1": State.REPLACED,
        "shop_v2": State.PREVIOUS,
        "shop_v3": State.LIVE,
        "shop_v4": State.ROLLED_BACK,
        "shop_v5": State.CANDIDATE,
        "shop_v6": State.UNFINISHED,
    }


def test_the_live_collection_comes_first_and_the_others_from_new_to_old(collection: Make) -> None:
    family = members([collection(1), collection(3), collection(2, live=True)])
    assert [member.info.name for member in family] == ["shop_v2", "shop_v3", "shop_v1"]


def test_a_promotion_that_was_killed_before_the_alias_moved_left_a_candidate(collection: Make) -> None:
    killed = collection(2, promoted_at=DAY, replaces="shop_v1")
    assert states(collection(1, live=True), killed)["shop_v2"] is State.CANDIDATE


def test_a_first_promotion_that_was_killed_left_a_candidate(collection: Make) -> None:
    assert states(collection(1, promoted_at=DAY)) == {"shop_v1": State.CANDIDATE}


def test_a_rollback_that_was_killed_before_the_alias_moved_changed_nothing(collection: Make) -> None:
    live = collection(2, promoted_at=DAY, replaces="shop_v1", rolled_back_at=DAY, live=True)
    assert states(collection(1), live) == {"shop_v2": State.LIVE, "shop_v1": State.PREVIOUS}


def test_two_that_replaced_each_other_end_the_search_for_earlier_ones(collection: Make) -> None:
    there = collection(1, promoted_at=DAY, replaces="shop_v2", live=True)
    back = collection(2, promoted_at=DAY, replaces="shop_v1")
    assert states(there, back) == {"shop_v1": State.LIVE, "shop_v2": State.PREVIOUS}


def test_what_stood_before_a_dropped_one_is_replaced(collection: Make) -> None:
    live = collection(3, promoted_at=DAY, replaces="shop_v2", live=True)
    assert states(collection(1, promoted_at=DAY), live)["shop_v1"] is State.REPLACED


def test_a_half_made_collection_is_unfinished_whatever_its_lineage_says(collection: Make) -> None:
    assert states(replace(collection(1), build_id="")) == {"shop_v1": State.UNFINISHED}


def test_collections_without_lineage_belong_to_the_alias_of_their_name(collection: Make) -> None:
    plain = replace(collection(7), lineage=NO_LINEAGE)
    assert alias_of(plain) == "shop"
    assert alias_of(replace(plain, name="experiment")) == ""


def test_a_collection_behind_two_aliases_is_live_behind_each(collection: Make) -> None:
    both = replace(collection(1, live=True), aliases=("sale", "shop"))
    assert [(member.alias, member.state) for member in members([both])] == [("sale", State.LIVE), ("shop", State.LIVE)]
