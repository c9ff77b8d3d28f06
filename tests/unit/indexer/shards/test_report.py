import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vitrine.errors import EncoderUnavailable
from vitrine.indexer.report import StageTimes, Summary, Tally
from vitrine.indexer.shards.report import MergedReport, ShardReport, ShardReportInvalid, new_report, round_id
from vitrine.indexer.shards.sharding import Shard
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import parse_index

INFO = CollectionInfo(
    name="shop_v1",
    dimension=4,
    rows=0,
    fields=(),
    index=parse_index("flat", {}),
    fingerprint="f" * 64,
    model="demo",
    build_id="build",
    created_at=datetime.now(UTC),
    loaded=True,
    aliases=(),
)


def report(number: int, *, own: int, read: int = 10, how: str = "", round_name: str = "round") -> ShardReport:
    """A shard that wrote all of its own products but one, which it rejected."""
    tally = Tally(read=read, written=own - 1, elsewhere=read - own, rejected=Counter(image_missing=1))
    failure = EncoderUnavailable("Triton is gone.") if how else None
    summary = Summary("shop_v1", "shop", tally, StageTimes({}), 1.0, expected=own - 1, failure=failure)
    begun = new_report(Shard(number, 2), round_name, "shop", INFO, candidate=False)
    return begun.after(summary, complete=not how)


def merged(*reports: ShardReport | None) -> MergedReport:
    return MergedReport("shop", len(reports), reports)


def test_shards_that_add_up_have_no_problems() -> None:
    both = merged(report(1, own=6), report(2, own=4))
    assert both.problems() == []
    total = both.total()
    assert (total["read"], total["written"], total["rejected"], total["expected"]) == (10, 8, 2, 8)
    assert total["read"] == total["written"] + total["unchanged"] + total["rejected"]
    assert both.rejected_by_reason() == {"image_missing": 2}
    assert json.loads(json.dumps(both.as_json()))["problems"] == []


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (None, "2/2 left no report"),
        (new_report(Shard(2, 2), "round", "shop", INFO, candidate=False), "running or killed"),
        (report(2, own=4, how="failed"), "encoder_unavailable (Triton is gone.)"),
        (replace(report(2, own=4), complete=False), "did not read to the end"),
        (replace(report(2, own=4), round="another", began=0.0), "of round another, not of round"),
        (replace(report(2, own=4), build_id="another"), "different collections"),
        (report(2, own=4, read=11), "[10, 11]"),
        (report(2, own=5), "answer for 11"),
    ],
)
def test_what_is_wrong_with_a_shard_is_named(second: ShardReport | None, words: str) -> None:
    problems = merged(report(1, own=6), second).problems()
    assert len(problems) == 1
    assert words in problems[0]


def test_a_round_that_was_asked_for_is_insisted_on() -> None:
    both = merged(report(1, own=6), report(2, own=4))
    assert both.problems("round") == []
    assert len(both.problems("tonight")) == 2


def test_a_report_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "reports" / "shop.json"
    assert ShardReport.read(path) is None
    one = report(1, own=6)
    one.write(path)
    assert ShardReport.read(path) == one
    assert [entry.name for entry in path.parent.iterdir()] == ["shop.json"]


@pytest.mark.parametrize("content", ["", "[]", '{"version": 1}', '{"version": 9}', '"text"'])
def test_files_that_are_no_report_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "shop.json"
    path.write_text(content)
    with pytest.raises(ShardReportInvalid):
        ShardReport.read(path)


def test_a_round_is_named_by_its_source_its_mapping_the_model_and_the_number_of_shards(tmp_path: Path) -> None:
    file = tmp_path / "articles.csv"
    file.write_text("one")
    same = {"mapping_digest": "m", "fingerprint": "f", "shards": 2}
    names = {
        round_id(file, **same),  # type: ignore[arg-type]
        round_id(file, **{**same, "shards": 3}),  # type: ignore[arg-type]
        round_id(file, **{**same, "mapping_digest": "n"}),  # type: ignore[arg-type]
        round_id(file, **{**same, "fingerprint": "g"}),  # type: ignore[arg-type]
    }
    assert len(names) == 4
    file.write_text("other")
    assert round_id(file, **same) not in names  # type: ignore[arg-type]
