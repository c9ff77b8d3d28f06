import random
from collections import Counter
from pathlib import Path

import pytest

from loadtest.queries.grammar import MOST_WORDS, draw_query, mistype
from loadtest.queries.log import LOG_FILE, SIZE, QueryLog, make_queries, read_queries


@pytest.fixture(scope="module")
def queries() -> list[str]:
    return read_queries()


def test_the_log_that_ships_is_what_the_grammar_makes(queries: list[str]) -> None:
    assert make_queries() == queries


def test_the_log_has_thousands_of_short_queries_mostly_in_lower_case(queries: list[str]) -> None:
    assert len(set(queries)) == len(queries) == SIZE >= 5_000
    assert all(1 <= len(query.split()) <= MOST_WORDS for query in queries)
    assert {len(query.split()) for query in queries} == set(range(1, MOST_WORDS + 1))
    assert sum(query.islower() for query in queries) > 0.9 * len(queries)
    assert any(query[0].isupper() for query in queries)


def test_a_seed_gives_the_same_queries_and_another_seed_others() -> None:
    drawn = [[draw_query(random.Random(seed)) for _ in range(3)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_slip_of_the_keyboard_changes_the_longest_word_but_not_its_first_letter() -> None:
    rng = random.Random(3)
    slips = {mistype("red trousers", rng) for _ in range(200)}
    assert "red trousers" not in slips or len(slips) > 10
    assert all(slip.startswith("red t") for slip in slips)
    assert all(abs(len(slip) - len("red trousers")) <= 1 for slip in slips)
    assert {"red truosers", "red trusers", "red troousers"} & slips
    assert mistype("red top", rng) == "red top"


def test_more_different_queries_than_the_draws_bring_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="10 draws gave"):
        make_queries(100, draws=10)


def test_popularity_follows_zipfs_law() -> None:
    log = QueryLog(["first", "second", "third", "fourth"], exponent=1.0)
    rng = random.Random(5)
    counts = Counter(log.draw(rng) for _ in range(20_000))
    harmonic = 1 + 1 / 2 + 1 / 3 + 1 / 4
    for place, query in enumerate(log.queries, start=1):
        assert counts[query] / 20_000 == pytest.approx(1 / place / harmonic, abs=0.015)
    assert log.share(1) == pytest.approx(1 / harmonic)
    assert log.share(4) == 1


def test_a_refinement_says_everything_and_more() -> None:
    log = QueryLog(["dress", "black dress", "Long black dress", "black jeans"])
    rng = random.Random(1)
    assert log.refinement("black dress", rng) == "Long black dress"
    assert {log.refinement("dress", rng) for _ in range(50)} == {"black dress", "Long black dress"}
    assert log.refinement("black jeans", rng) is None
    assert log.refinement("hat", rng) is None


@pytest.mark.parametrize("text", ["", "dress\n\ncoat\n", "dress\ndress\n"])
def test_what_is_no_log_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / LOG_FILE.name
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="is no log of queries"):
        read_queries(path)
