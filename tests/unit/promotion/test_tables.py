import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from tests.unit.promotion.conftest import DAY, Make
from vitrine.promotion import commands
from vitrine.promotion.family import members
from vitrine.promotion.job import Promotion
from vitrine.promotion.moves import Moved, Pair
from vitrine.promotion.tables import collection_table, gate_table, member_as_json, promotion_as_json
from vitrine.vectorstore.lineage import GateRecord

GATES = (
    GateRecord("rows", True, "100 of 100", ">= 0.95 x live"),
    GateRecord("recall@10", False, "0.211", ">= 0.9"),
    GateRecord("overlap@10", None, "not comparable: another model", ">= 0.5"),
)


def shown(table: object) -> list[str]:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def promotion(collection: Make) -> Promotion:
    pair = Pair(collection(1, live=True), collection(2))
    return Promotion("shop", pair, GATES, "200 titles", Moved("shop", "shop_v1", "shop_v2"))


def test_each_gate_has_a_line_with_its_figure_its_limit_and_its_word() -> None:
    rows, recall, overlap = shown(gate_table(GATES))[3:6]
    assert rows.split() == ["rows", "100", "of", "100", ">=", "0.95", "x", "live", "passed"]
    assert recall.split() == ["recall@10", "0.211", ">=", "0.9", "FAILED"]
    assert overlap.rstrip().endswith("not compared")


def test_each_collection_has_a_line_and_each_alias_is_named_once(collection: Make) -> None:
    family = members(
        [collection(1), replace(collection(2, promoted_at=DAY, replaces="shop_v1", live=True), loaded=False)]
    )
    live, previous = shown(collection_table(family))[3:5]
    assert live.split()[:4] == ["shop", "shop_v2", "live", "(released)"]
    assert live.rstrip().endswith("2026-01-01 00:00")
    assert previous.split()[:3] == ["shop_v1", "previous", "100"]


def test_what_machines_read_is_plain_and_says_the_same(collection: Make, promotion: Promotion) -> None:
    (row,) = (member_as_json(member) for member in members([collection(3, finished=False)]))
    told = json.loads(json.dumps(row))
    assert (told["alias"], told["state"], told["finished_at"], told["replaces"]) == ("shop", "unfinished", None, None)
    answer = json.loads(json.dumps(promotion_as_json(promotion)))
    assert (answer["promoted"], answer["forced"], answer["failed"]) == (True, True, ["recall@10"])
    assert [gate["passed"] for gate in answer["gates"]] == [True, False, None]


def test_a_person_is_told_what_moved_and_how_to_go_back(
    promotion: Promotion, capsys: pytest.CaptureFixture[str]
) -> None:
    commands._tell(promotion)
    told = capsys.readouterr().out
    assert "shop points at shop_v2, forced." in told
    assert "shop_v1 stays for `vitrine rollback shop`." in told


def test_a_person_is_told_of_gateways_that_stay_behind(
    promotion: Promotion, collection: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(collection(1, live=True), fingerprint="0" * 64)
    commands._tell(replace(promotion, pair=replace(promotion.pair, live=other)))
    assert "go on searching it until they are restarted" in capsys.readouterr().out
