"""Composed queries: their right answers are right, their second part matters, and a seed fixes them."""

from collections import Counter
from typing import get_args

import pytest

from vitrine.demo.captions import Spec, truth
from vitrine.demo.composed import LEAST_UNWANTED, composed_queries
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED, Product, sample_products
from vitrine.demo.queries import DEPTH, ComposedKind, Query

EVERY = 800  # more than there are pairs of parts, so that each is asked


@pytest.fixture(scope="module")
def shop() -> list[Product]:
    return sample_products(DEFAULT_COUNT, DEFAULT_SEED)


@pytest.fixture(scope="module")
def questions(shop: list[Product]) -> list[Query]:
    return composed_queries(shop)


def subtracting(queries: list[Query]) -> list[Query]:
    return [query for query in queries if query.kind != "image + colour"]


def recolouring(queries: list[Query]) -> list[Query]:
    return [query for query in queries if query.kind == "image + colour"]


def test_as_many_of_every_kind_as_asked_for(questions: list[Query]) -> None:
    assert Counter(query.kind for query in questions) == dict.fromkeys(get_args(ComposedKind), 40)


def test_every_right_answer_is_one_and_none_is_missing(shop: list[Product], questions: list[Query]) -> None:
    for query in questions:
        assert query.addition is not None
        wanted = query.addition.weight > 0
        right = {p.article_id for p in shop if truth(query.spec, p) and truth(query.addition.spec, p) is wanted}
        assert right == query.relevant
        assert len(query.relevant) >= DEPTH


def test_what_is_subtracted_is_a_good_share_of_what_the_first_part_says(
    shop: list[Product], questions: list[Query]
) -> None:
    for query in subtracting(questions):
        assert query.addition is not None
        described = [product for product in shop if truth(query.spec, product)]
        unwanted = [product for product in described if truth(query.addition.spec, product)]
        assert len(unwanted) >= LEAST_UNWANTED * len(described) > 0


def test_a_picture_shows_the_wrong_colour_and_all_else_right(shop: list[Product], questions: list[Query]) -> None:
    designs = {product.seed for product in shop}
    for query in recolouring(questions):
        assert query.drawing is not None
        assert query.addition is not None
        assert query.drawing.seed not in designs
        assert query.drawing.colour != query.spec.colour
        assert truth(Spec(garment=query.spec.garment, pattern=query.spec.pattern), query.drawing)
        assert query.addition.spec == Spec(colour=query.spec.colour)


def test_a_dress_without_flowers_and_a_striped_shirt_in_red_are_among_them(shop: list[Product]) -> None:
    asked = [(query.spec, query.addition.spec) for query in composed_queries(shop, count=EVERY) if query.addition]
    assert (Spec(garment="dress"), Spec(pattern="floral")) in asked
    assert (Spec(garment="blouse", colour="red", pattern="striped"), Spec(colour="red")) in asked


def test_no_query_is_asked_twice(questions: list[Query]) -> None:
    asked = [(query.text, query.drawing, query.addition) for query in questions]
    assert len(set(asked)) == len(asked)


def test_a_seed_fixes_the_queries(shop: list[Product], questions: list[Query]) -> None:
    assert composed_queries(shop) == questions
    assert composed_queries(shop, seed=1) != questions


def test_none_are_asked_for_with_a_count_of_none(shop: list[Product]) -> None:
    assert composed_queries(shop, count=0) == []


def test_a_shop_too_small_for_ten_right_answers_is_refused() -> None:
    with pytest.raises(ValueError, match="right answers"):
        composed_queries(sample_products(60, 1))
