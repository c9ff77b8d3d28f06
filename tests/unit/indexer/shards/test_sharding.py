import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitrine.errors import InvalidInput
from vitrine.indexer.shards.sharding import WHOLE, OwnRows, Shard

ids = st.text(max_size=20)
counts = st.integers(min_value=1, max_value=40)


@given(ids, st.integers(min_value=0, max_value=10**6), counts)
def test_every_record_belongs_to_exactly_one_shard(product_id: str, line: int, count: int) -> None:
    owners = [number for number in range(1, count + 1) if Shard(number, count).owns(product_id, line)]
    assert len(owners) == 1


@given(ids.filter(bool), counts, st.integers(min_value=0), st.integers(min_value=0))
def test_lines_of_one_id_meet_in_one_shard(product_id: str, count: int, one: int, other: int) -> None:
    for number in range(1, count + 1):
        shard = Shard(number, count)
        assert shard.owns(product_id, one) == shard.owns(product_id, other)


def test_shards_are_of_about_one_size() -> None:
    sizes = [0] * 4
    for number in range(4_000):
        sizes[next(n for n in range(4) if Shard(n + 1, 4).owns(f"{number:010d}"))] += 1
    assert min(sizes) > 900


def test_a_shard_is_the_same_in_every_process() -> None:
    question = (
        "from vitrine.indexer.shards.sharding import Shard;print([Shard(n, 7).owns('0108775015') for n in range(1, 8)])"
    )
    answers = {
        subprocess.run([sys.executable, "-c", question], env={"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in ("1", "2")
    }
    assert answers == {f"{[Shard(n, 7).owns('0108775015') for n in range(1, 8)]}\n".encode()}


def test_ids_that_are_no_unicode_have_a_shard_too() -> None:
    broken = b"\xff0990000012".decode("utf-8", "surrogateescape")
    assert sum(Shard(number, 3).owns(broken) for number in (1, 2, 3)) == 1


def test_rows_of_others_are_counted() -> None:
    rows = [(str(number), number) for number in range(100)]
    split = [OwnRows(rows, lambda row: row, Shard(number, 3)) for number in (1, 2, 3)]
    found = [list(own) for own in split]
    assert sorted(row for own in found for row in own) == sorted(rows)
    assert [own.elsewhere for own in split] == [100 - len(own) for own in found]


def test_the_whole_owns_everything_and_has_no_name() -> None:
    assert WHOLE.owns("a", 1)
    assert WHOLE.owns("", 7)
    assert (WHOLE.name, WHOLE.suffix) == ("", "")
    assert (Shard.parse("2/4").name, Shard.parse("2/4").suffix) == ("2/4", ".shard-2-of-4")


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "-1/4", "2/0", "1/1025", "a/b", "2/4/6"])
def test_shards_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Shard.parse(text)


def test_a_pod_of_an_indexed_job_counts_from_nought() -> None:
    assert Shard.of_job(4, {"JOB_COMPLETION_INDEX": "3"}) == Shard(4, 4)
    for environment in ({}, {"JOB_COMPLETION_INDEX": "x"}, {"JOB_COMPLETION_INDEX": "4"}):
        with pytest.raises(InvalidInput):
            Shard.of_job(4, environment)
