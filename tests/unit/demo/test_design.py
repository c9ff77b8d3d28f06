"""Which products the demo shop stocks."""

import itertools
from collections import Counter, defaultdict

import pytest

from vitrine.demo.design import (
    BESTSELLERS,
    DEFAULT_COUNT,
    DEFAULT_SEED,
    PAIR_FLOOR,
    Product,
    sample_products,
    shade_of,
)
from vitrine.demo.vocabulary import COLOUR_BY_KEY, COLOURS, GARMENT_BY_KEY, GARMENTS, PATTERNS


@pytest.fixture(scope="module")
def shop() -> list[Product]:
    return sample_products(DEFAULT_COUNT, DEFAULT_SEED)


def test_the_same_seed_gives_the_same_shop_and_another_seed_another(shop: list[Product]) -> None:
    assert sample_products(DEFAULT_COUNT, DEFAULT_SEED) == shop
    assert sample_products(DEFAULT_COUNT, DEFAULT_SEED + 1) != shop


def test_article_ids_are_unique_and_keep_their_zero(shop: list[Product]) -> None:
    assert len(shop) == len({product.article_id for product in shop}) == DEFAULT_COUNT >= 2400
    assert all(len(product.article_id) == 10 and product.article_id.isdigit() for product in shop)
    assert all(product.article_id.startswith("0") for product in shop)
    assert all(product.article_id.startswith(product.product_code) for product in shop)
    assert shop[0].article_id == "0108775015"


@pytest.mark.parametrize("seed", [DEFAULT_SEED, 0, 99])
def test_every_pair_of_attributes_can_fill_ten_results(seed: int) -> None:
    shop = sample_products(DEFAULT_COUNT, seed)
    sizes = {"garment": len(GARMENTS), "colour": len(COLOURS), "pattern": len(PATTERNS)}
    for one, other in itertools.combinations(sizes, 2):
        pairs = Counter((getattr(product, one), getattr(product, other)) for product in shop)
        assert len(pairs) == sizes[one] * sizes[other]
        assert min(pairs.values()) >= PAIR_FLOOR


def test_bestsellers_fill_ten_results_with_all_three_attributes(shop: list[Product]) -> None:
    triples = Counter((product.garment, product.colour, product.pattern) for product in shop)
    assert sum(number >= PAIR_FLOOR for number in triples.values()) >= BESTSELLERS >= 60


def test_some_attributes_are_more_popular_than_others(shop: list[Product]) -> None:
    garments = Counter(product.garment for product in shop)
    dresses = Counter(product.pattern for product in shop if product.garment == "dress")
    assert garments["dress"] > garments["hat"]
    assert dresses["floral"] > dresses["zigzag"]


def test_siblings_share_a_design_and_differ_in_colour(shop: list[Product]) -> None:
    designs = defaultdict(list)
    for product in shop:
        designs[product.product_code].append(product)
    assert any(len(siblings) >= 5 for siblings in designs.values())
    for siblings in designs.values():
        assert len({(item.garment, item.pattern, item.seed, item.name, item.price) for item in siblings}) == 1
        assert len({item.colour for item in siblings}) == len(siblings)


def test_prices_lie_within_the_garments_range(shop: list[Product]) -> None:
    for product in shop:
        low, high = GARMENT_BY_KEY[product.garment].price
        assert low <= product.price <= high + 0.01


def test_names_say_garment_and_pattern(shop: list[Product]) -> None:
    floral = next(product for product in shop if product.garment == "blouse" and product.pattern == "floral")
    assert floral.name.endswith(" floral blouse")
    plain = next(product for product in shop if product.garment == "coat" and product.pattern == "solid")
    assert plain.name.endswith(" coat")
    assert "solid" not in plain.name


def test_a_products_shade_is_one_of_its_colour_and_stays(shop: list[Product]) -> None:
    for product in shop[:200]:
        assert shade_of(product) in COLOUR_BY_KEY[product.colour].shades
        assert shade_of(product) is shade_of(product)


@pytest.mark.parametrize("count", [1, 2, 60, 252, 1000])
def test_small_shops_have_exactly_the_products_asked_for(count: int) -> None:
    shop = sample_products(count, 3)
    assert len({product.article_id for product in shop}) == count


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_counts_out_of_range_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 100000"):
        sample_products(count, 1)
