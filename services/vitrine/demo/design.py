"""Which products the demo shop sells: designs, the colours they come in, names and prices."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitrine.demo.vocabulary import (
    COLOUR_BY_KEY,
    COLOURS,
    GARMENT_BY_KEY,
    GARMENTS,
    PATTERN_BY_KEY,
    PATTERNS,
    Shade,
)

DEFAULT_COUNT = 2520
DEFAULT_SEED = 7
COVERAGE_COUNT = 2520  # from this many products on, the coverage promises of sample_products hold
PAIR_FLOOR = 10  # products for every pair of two attributes, so that precision@10 is answerable
BESTSELLERS = 72  # (garment, colour, pattern) triples that reach PAIR_FLOOR products by themselves

FIRST_CODE, LAST_CODE = 108775, 959999  # seven digits with the leading zero, as in the H&M catalogue
FIRST_SUFFIX = 15

# What sells together more often than chance; every other combination weighs 1.
_AFFINITY: dict[tuple[str, str], float] = {
    ("dress", "floral"): 3.0,
    ("blouse", "floral"): 3.0,
    ("skirt", "floral"): 2.0,
    ("vest top", "floral"): 1.6,
    ("t-shirt", "striped"): 2.5,
    ("sweater", "striped"): 2.0,
    ("socks", "striped"): 1.8,
    ("coat", "checked"): 3.0,
    ("scarf", "checked"): 3.0,
    ("trousers", "checked"): 2.0,
    ("jacket", "checked"): 1.6,
    ("jacket", "camouflage"): 3.0,
    ("cap", "camouflage"): 3.0,
    ("hoodie", "camouflage"): 2.5,
    ("shorts", "camouflage"): 2.5,
    ("sneakers", "camouflage"): 1.6,
    ("bag", "leopard"): 2.5,
    ("boots", "leopard"): 2.0,
    ("skirt", "leopard"): 2.0,
    ("sweater", "zigzag"): 3.0,
    ("scarf", "zigzag"): 2.0,
    ("vest top", "dotted"): 2.0,
    ("dress", "dotted"): 2.0,
    ("blouse", "dotted"): 1.6,
    ("socks", "heart"): 3.0,
    ("hoodie", "star"): 2.5,
    ("sneakers", "star"): 3.0,
    ("t-shirt", "heart"): 2.0,
    ("shorts", "star"): 1.6,
    ("boots", "solid"): 2.0,
    ("hat", "solid"): 2.0,
    ("bag", "solid"): 1.8,
}

_NAMES = (
    "Alva Amelie Astrid Bea Bianca Carla Celine Cleo Dagny Daria Edda Elin Elsa Emmi Fanny Flora Freya Gia Greta Hanna "
    "Hedda Ida Ilse Ines Iris Isa Jette Jonna Juno Kaia Karin Klara Lena Linn Livia Lotta Luna Maja Malin Mara Mila "
    "Minna Moa Nela Nina Nora Olga Ottilie Pia Polly Ragna Rosa Runa Saga Sanna Selma Signe Siri Stella Svea Thea "
    "Tilda Tove Ulla Vega Vera Wilma Yara Ylva Zoe"
)


@dataclass(frozen=True, slots=True)
class Product:
    """One article of the shop.

    `article_id` has ten digits and keeps its leading zero; its first seven are `product_code`, which the siblings of a
    design (same garment, cut and pattern, other colours) share. `seed` belongs to the design: cut and pattern geometry
    follow from it alone, shade, pose and scene from it and the colour. `price` is in euro.
    """

    article_id: str
    product_code: str
    name: str
    garment: str
    colour: str
    pattern: str
    seed: int
    price: float


def shade_of(product: Product) -> Shade:
    """The shade of its colour that a product is dyed in; the drawing and the catalogue columns agree on it."""
    shades = COLOUR_BY_KEY[product.colour].shades
    return shades[random.Random(f"{product.seed}/{product.colour}/shade").randrange(len(shades))]


def sample_products(count: int, seed: int) -> list[Product]:
    """Stocks a shop of `count` products, the same for the same arguments, ordered by article id.

    Attributes follow their popularity. From COVERAGE_COUNT products on, every pair of two attributes (garment and
    colour, garment and pattern, colour and pattern) has at least PAIR_FLOOR products, and so have BESTSELLERS whole
    triples. Smaller shops scale this floor down.

    Raises ValueError for a count below 1 or above the number of article ids there are.
    """
    if not 1 <= count <= 100_000:
        raise ValueError(f"count must be between 1 and 100000, not {count}")
    stock = _stock(count, np.random.default_rng(seed))
    rng = random.Random(f"designs/{seed}")
    designs = list(_designs(stock, rng))
    rng.shuffle(designs)
    codes = [FIRST_CODE, *sorted(rng.sample(range(FIRST_CODE + 1, LAST_CODE + 1), len(designs) - 1))]
    products: list[Product] = []
    for code, design in zip(codes, designs, strict=True):
        products.extend(_siblings(f"{code:07d}", design, rng))
    return products


def _popularity() -> NDArray[np.float64]:
    """Relative demand of every triple, shape (garments, colours, patterns)."""
    by_garment = np.array([garment.popularity for garment in GARMENTS])
    by_colour = np.array([colour.popularity for colour in COLOURS])
    by_pattern = np.array([pattern.popularity for pattern in PATTERNS])
    affinity = np.array([[_AFFINITY.get((g.key, p.key), 1.0) for p in PATTERNS] for g in GARMENTS])
    base = by_garment[:, None, None] * by_colour[None, :, None] * by_pattern[None, None, :]
    return np.asarray(base * affinity[:, None, :], dtype=np.float64)


def _stock(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many products each triple gets; sums to `count`."""
    demand = _popularity() * rng.uniform(0.7, 1.3, (len(GARMENTS), len(COLOURS), len(PATTERNS)))
    floor = min(PAIR_FLOOR, PAIR_FLOOR * count // COVERAGE_COUNT)
    stock = np.zeros(demand.shape, dtype=np.int64)
    if floor:
        for triple in _bestsellers(demand):
            stock[triple] = floor
        _cover_pairs(stock, demand, floor, count)
    left = count - int(stock.sum())
    stock += rng.multinomial(left, (demand / demand.sum()).ravel()).reshape(stock.shape)
    return stock


def _bestsellers(demand: NDArray[np.float64]) -> list[tuple[int, int, int]]:
    """The triples in most demand; no garment-colour pair twice, which would overfill it at the others' expense."""
    chosen: list[tuple[int, int, int]] = []
    used = np.zeros(demand.shape[:2], dtype=bool)
    by_pattern = np.zeros((demand.shape[0], demand.shape[2]), dtype=int)
    by_tint = np.zeros(demand.shape[1:], dtype=int)
    for flat in np.argsort(-demand, axis=None):
        g, c, p = (int(index) for index in np.unravel_index(flat, demand.shape))
        if used[g, c] or by_pattern[g, p] >= 2 or by_tint[c, p] >= 2:
            continue
        used[g, c] = True
        by_pattern[g, p] += 1
        by_tint[c, p] += 1
        chosen.append((g, c, p))
        if len(chosen) == BESTSELLERS:
            break
    return chosen


def _cover_pairs(stock: NDArray[np.int64], demand: NDArray[np.float64], floor: int, count: int) -> None:
    """Adds products, one at a time where most is missing, until every pair of attributes has `floor` of them."""
    taste = demand / demand.max()
    while int(stock.sum()) < count:
        missing = [np.clip(floor - stock.sum(axis=axis, keepdims=True), 0, None) for axis in (0, 1, 2)]
        served = sum((part > 0).astype(float) for part in missing)
        if not np.any(served):
            return
        urgency = sum(part / floor for part in missing)
        best = np.argmax(served * 10 + urgency + 0.3 * taste - 0.5 * (stock > 0))
        stock[np.unravel_index(best, stock.shape)] += 1


@dataclass(frozen=True, slots=True)
class _Design:
    garment: str
    pattern: str
    colours: tuple[str, ...]


def _designs(stock: NDArray[np.int64], rng: random.Random) -> Iterator[_Design]:
    """Splits the stock of each garment and pattern into designs that come in one to eight colours."""
    for g, garment in enumerate(GARMENTS):
        for p, pattern in enumerate(PATTERNS):
            left = {colour.key: int(stock[g, c, p]) for c, colour in enumerate(COLOURS) if stock[g, c, p]}
            while left:
                size = min(rng.choice((1, 2, 3, 4, 5, 6, 8)), len(left))
                # The fullest colours first, else the end of the list is designs of one colour.
                ranked = sorted(left, key=lambda key: left[key] + rng.random(), reverse=True)[:size]
                yield _Design(garment.key, pattern.key, tuple(sorted(ranked)))
                left = {key: number - (key in ranked) for key, number in left.items() if number > (key in ranked)}


def _siblings(code: str, design: _Design, rng: random.Random) -> Iterator[Product]:
    """The products of one design, one for each colour."""
    seed = rng.getrandbits(48)
    low, high = GARMENT_BY_KEY[design.garment].price
    price = round(rng.triangular(low, high, low + (high - low) * 0.35)) - 0.01
    words = (rng.choice(_NAMES.split()), PATTERN_BY_KEY[design.pattern].adjective, design.garment)
    name = " ".join(word for word in words if word)
    for number, colour in enumerate(design.colours):
        article_id = f"{code}{FIRST_SUFFIX + number:03d}"
        yield Product(article_id, code, name, design.garment, colour, design.pattern, seed, round(price, 2))
