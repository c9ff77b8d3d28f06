"""Evaluation queries: their right answers are right, there are enough of them, and a seed fixes them."""

from collections import Counter
from typing import get_args

import pytest

from vitrine.demo.captions import truth
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED, Product, sample_products
from vitrine.demo.queries import DEPTH, IMAGE_KIND, Kind, Query, image_queries, queries_of, specs_of, text_queries


@pytest.fixture(scope="module")
def shop() -> list[Product]:
    return sample_products(DEFAULT_COUNT, DEFAULT_SEED)


@pytest.fixture(scope="module")
def questions(shop: list[Product]) -> list[Query]:
    return text_queries(shop)


def test_two_hundred_queries_of_every_text_kind(questions: list[Query]) -> None:
    kinds = Counter(query.kind for query in questions)
    assert sum(kinds.values()) == 200
    assert set(kinds) == set(get_args(Kind)) - {IMAGE_KIND}
    assert min(kinds.values()) >= 12


def test_every_right_answer_is_one_and_none_is_missing(shop: list[Product], questions: list[Query]) -> None:
    for query in questions:
        assert {p.article_id for p in shop if truth(query.spec, p)} == query.relevant
        assert len(query.relevant) >= DEPTH


def test_no_query_is_asked_twice(questions: list[Query]) -> None:
    texts = [query.text for query in questions]
    assert len(set(texts)) == len(texts)


def test_a_seed_fixes_the_queries(shop: list[Product], questions: list[Query]) -> None:
    assert text_queries(shop) == questions
    assert text_queries(shop, seed=1) != questions


def test_fewer_queries_keep_every_kind(shop: list[Product]) -> None:
    kinds = Counter(query.kind for query in text_queries(shop, count=40))
    assert sum(kinds.values()) == 40
    assert len(kinds) == 10


def test_a_shop_too_small_for_ten_right_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="right answers"):
        text_queries(sample_products(60, 1))
    with pytest.raises(ValueError, match="no garment, colour and pattern"):
        image_queries(sample_products(60, 1))


def test_image_queries_are_drawings_that_the_shop_does_not_sell(shop: list[Product]) -> None:
    designs = {product.seed for product in shop}
    questions = image_queries(shop, count=80)
    assert len(questions) == 80
    for query in questions:
        assert query.drawing is not None
        assert query.drawing.seed not in designs
        assert truth(query.spec, query.drawing)
        assert len(query.relevant) >= DEPTH
    assert len({query.drawing.seed for query in questions if query.drawing}) == 80


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("type", {"noun"}),
        ("colour", {"colour"}),
        ("pattern", {"pattern"}),
        ("type + colour", {"noun", "colour"}),
        ("type + pattern", {"noun", "pattern"}),
        ("colour + pattern", {"colour", "pattern"}),
        ("type + colour + pattern", {"noun", "colour", "pattern"}),
    ],
)
def test_a_kind_asks_for_what_its_name_says(kind: Kind, asked: set[str]) -> None:
    assert all(spec.asked == asked for spec in specs_of(kind))


def test_every_pair_of_attributes_can_be_asked_for(shop: list[Product]) -> None:
    assert len(queries_of("type + colour", shop)) == 18 * 12
    assert len(queries_of("type + pattern", shop)) == 18 * 10
    assert len(queries_of("colour + pattern", shop)) == 12 * 10
