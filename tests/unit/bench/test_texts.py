"""Queries are short and different; the log asks for few of them often."""

import numpy as np
import pytest

from loadtest.bench.serving.texts import log_of, short_texts
from loadtest.queries.log import EXPONENT
from vitrine.models.random_clip import SHOP_WORDS


def test_texts_are_different_and_of_two_to_four_words() -> None:
    texts = short_texts(5_000)
    assert len(set(texts)) == len(texts) == 5_000
    assert {len(text.split()) for text in texts} == {2, 3, 4}


def test_every_word_is_a_token_of_the_random_checkpoint() -> None:
    known = set(SHOP_WORDS.split())
    assert {word for text in short_texts(5_000) for word in text.split()} <= known


def test_texts_are_the_same_for_the_same_seed() -> None:
    assert short_texts(100) == short_texts(100)
    assert short_texts(100) != short_texts(100, seed=8)


def test_where_short_texts_run_out_longer_ones_take_their_place() -> None:
    lengths = [len(text.split()) for text in short_texts(50_000)]
    assert len(lengths) == 50_000
    assert lengths.count(4) > lengths.count(2)


def test_more_texts_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="1000000"):
        short_texts(1_000_000)


def test_the_log_asks_each_query_in_proportion_to_its_rank() -> None:
    asked = np.bincount(log_of(1_000, 200_000), minlength=1_000)
    assert len(asked) == 1_000
    assert asked[0] / asked[9] == pytest.approx(10**EXPONENT, rel=0.1)
