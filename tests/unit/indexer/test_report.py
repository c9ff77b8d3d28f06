import io
import json
from collections import Counter

import pytest
from rich.console import Console

from vitrine.errors import EncoderUnavailable, InternalError
from vitrine.indexer.report import IndexStage, StageTimes, Summary, Tally


def summary(**changes: object) -> Summary:
    times = StageTimes({IndexStage.READ: 1, IndexStage.DECODE: 2})
    times.seconds[IndexStage.DECODE] = 3.0
    tally = Tally(read=10, written=5, unchanged=2, rejected=Counter({"image_missing": 2, "id_duplicate": 1}))
    values: dict[str, object] = {
        "collection": "products_v1",
        "alias": "products",
        "tally": tally,
        "times": times,
        "elapsed_s": 2.0,
        "in_collection": 7,
        "expected": 7,
        "rejects_file": "rejects.csv",
    }
    return Summary(**(values | changes))  # type: ignore[arg-type]


def printed(subject: Summary) -> str:
    stream = io.StringIO()
    subject.print(Console(file=stream, width=100))
    return stream.getvalue()


def test_a_tally_that_does_not_add_up_is_a_defect() -> None:
    Tally(read=3, written=1, unchanged=1, rejected=Counter(x=1)).check()
    Tally(read=3, written=1, dropped=2).check()
    with pytest.raises(InternalError, match="3 products were read, but 2"):
        Tally(read=3, written=2).check()


def test_the_json_form_is_plain_and_adds_up() -> None:
    content = json.loads(json.dumps(summary(ignored={"blank_line": 3, "superseded_row": 0}).as_json()))
    assert content["read"] == content["written"] + content["unchanged"] + content["rejected"] + content["dropped"]
    assert content["rejected_by_reason"] == {"id_duplicate": 1, "image_missing": 2}
    assert content["stages"]["decode"] == {"busy_s": 3.0, "slots": 2, "share": 0.75}
    assert content["products_per_s"] == 5.0
    assert content["ignored"] == {"blank_line": 3}
    assert content["error"] is None


def test_a_failure_is_part_of_the_json_form() -> None:
    content = summary(failure=EncoderUnavailable("Triton is gone.")).as_json()
    assert content["error"] == {"code": "encoder_unavailable", "message": "Triton is gone."}


def test_the_printed_form_names_every_outcome() -> None:
    text = printed(summary(ignored={"blank_line": 3}, stale=1))
    for words in ("read", "10", "unchanged", "image_missing", "blank lines", "holds 7", "older state", "rejects.csv"):
        assert words in text
    assert "not finished" not in text


def test_the_printed_form_says_why_products_were_not_finished() -> None:
    tally = Tally(read=4, written=1, dropped=3)
    assert "not finished (SIGINT)" in printed(summary(tally=tally, interrupted="SIGINT"))
    failed = summary(tally=tally, interrupted="encoder_unavailable", failure=EncoderUnavailable("gone"))
    assert "not finished (encoder_unavailable)" in printed(failed)


def test_busy_time_is_added_up_when_a_block_raises() -> None:
    times = StageTimes({IndexStage.READ: 1})
    with pytest.raises(KeyError), times.busy(IndexStage.READ):
        raise KeyError
    assert times.seconds[IndexStage.READ] > 0
