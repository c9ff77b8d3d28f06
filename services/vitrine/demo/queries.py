"""Queries about the demo shop whose right answers are known, for measuring a search from end to end.

Only queries with at least `DEPTH` right answers in the catalogue are asked, so that precision@10 can reach 1.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from vitrine.demo.captions import Spec, paraphrase, training_sentence, truth
from vitrine.demo.design import Product
from vitrine.demo.vocabulary import COLOURS, GARMENTS, PATTERNS
from vitrine.demo.wording import GROUPS, SHADE_WORDS

DEPTH = 10

Kind = Literal[
    "type",
    "family",
    "colour",
    "shade",
    "pattern",
    "type + colour",
    "type + pattern",
    "colour + pattern",
    "type + colour + pattern",
    "paraphrase",
    "image, same design",
]
IMAGE_KIND: Kind = "image, same design"
ComposedKind = Literal["type, not pattern", "type + colour, not pattern", "image + colour"]
# Out of 200 text queries; other totals keep the proportions.
_SHARES: dict[Kind, int] = {
    "type": 20,
    "family": 14,
    "colour": 16,
    "shade": 12,
    "pattern": 18,
    "type + colour": 26,
    "type + pattern": 26,
    "colour + pattern": 20,
    "type + colour + pattern": 22,
    "paraphrase": 26,
}


@dataclass(frozen=True, slots=True)
class Addition:
    """The second part of a composed query: a text, what it means, and its weight, below zero for "not this"."""

    text: str
    spec: Spec
    weight: float


@dataclass(frozen=True, slots=True)
class Query:
    """One question and every right answer to it.

    `text` is empty for an image query, whose picture is that of `drawing`: a product that no catalogue sells. `spec` is
    what every right answer is; if the addition's weight is below zero, no right answer is what that one means.
    """

    kind: Kind | ComposedKind
    spec: Spec
    relevant: frozenset[str]
    text: str = ""
    drawing: Product | None = None
    addition: Addition | None = None


def text_queries(products: Sequence[Product], *, count: int = 200, seed: int = 0) -> list[Query]:
    """Draws text queries of every kind, none twice while different ones are left; equal arguments, equal queries.

    Raises ValueError if the catalogue is too small for any query of a kind to have `DEPTH` right answers.
    """
    rng = random.Random(f"text queries/{seed}")
    queries: list[Query] = []
    asked: set[str] = set()
    for kind, number in _apportion(count).items():
        candidates = queries_of(kind, products)
        if not candidates:
            raise ValueError(f"no query of kind {kind!r} has {DEPTH} right answers among {len(products)} products")
        say: Callable[[Spec, random.Random], str] = paraphrase if kind == "paraphrase" else training_sentence
        for turn in range(number):
            if turn % len(candidates) == 0:
                rng.shuffle(candidates)
            spec, relevant = candidates[turn % len(candidates)]
            queries.append(Query(kind, spec, relevant, text=_unasked(spec, say, rng, asked)))
    return queries


def image_queries(products: Sequence[Product], *, count: int = 60, seed: int = 0) -> list[Query]:
    """Draws image queries: a new drawing of a (garment, colour, pattern) that the catalogue has `DEPTH` products of.

    Raises ValueError if there is no such triple.
    """
    rng = random.Random(f"image queries/{seed}")
    candidates = queries_of(IMAGE_KIND, products)
    if not candidates:
        raise ValueError(f"no garment, colour and pattern has {DEPTH} products among {len(products)}")
    sold = {product.article_id: product for product in products}
    queries: list[Query] = []
    for turn in range(count):
        if turn % len(candidates) == 0:
            rng.shuffle(candidates)
        spec, relevant = candidates[turn % len(candidates)]
        queries.append(Query(IMAGE_KIND, spec, relevant, drawing=unsold(sold[min(relevant)], rng)))
    return queries


def unsold(product: Product, rng: random.Random) -> Product:
    """A new design with the attributes of a product."""
    return replace(product, seed=rng.getrandbits(48), article_id="0000000000", product_code="0000000")


def queries_of(kind: Kind, products: Sequence[Product]) -> list[tuple[Spec, frozenset[str]]]:
    """Every spec of a kind with at least `DEPTH` right answers among the products, and their ids."""
    # Most specs name a garment: looking at its products alone makes this ten times faster.
    shelves: dict[str | None, list[Product]] = {None: list(products)}
    for product in products:
        shelves.setdefault(product.garment, []).append(product)
    pairs = (
        (spec, frozenset(p.article_id for p in shelves.get(spec.garment, ()) if truth(spec, p)))
        for spec in specs_of(kind)
    )
    return [(spec, relevant) for spec, relevant in pairs if len(relevant) >= DEPTH]


def specs_of(kind: Kind) -> Iterator[Spec]:
    """Every spec of a kind that the shop's vocabulary has."""
    garments, colours, patterns = ([item.key for item in items] for items in (GARMENTS, COLOURS, PATTERNS))
    if kind == "type":
        yield from (Spec(garment=garment) for garment in garments)
    elif kind == "family":
        yield from (Spec(group=group) for group in GROUPS)
        yield from (Spec(group=group, pattern=pattern) for group in GROUPS for pattern in patterns)
    elif kind == "colour":
        yield from (Spec(colour=colour) for colour in colours)
    elif kind == "shade":
        yield from (Spec(colour=colour, shade=shade) for colour, shade in SHADE_WORDS)
        yield from (Spec(garment=g, colour=colour, shade=shade) for g in garments for colour, shade in SHADE_WORDS)
    elif kind == "pattern":
        yield from (Spec(pattern=pattern) for pattern in patterns)
    elif kind == "type + colour":
        yield from (Spec(garment=garment, colour=colour) for garment in garments for colour in colours)
    elif kind == "type + pattern":
        yield from (Spec(garment=garment, pattern=pattern) for garment in garments for pattern in patterns)
    elif kind == "colour + pattern":
        yield from (Spec(colour=colour, pattern=pattern) for colour in colours for pattern in patterns)
    elif kind == "paraphrase":
        yield from (spec for other in get_args(Kind) if other not in ("paraphrase", IMAGE_KIND) for spec in _few(other))
    else:
        yield from (Spec(garment=g, colour=c, pattern=p) for g in garments for c in colours for p in patterns)


def _few(kind: Kind) -> Iterator[Spec]:
    """An even selection of a kind, so that paraphrases are not nine parts triples."""
    every = list(specs_of(kind))
    yield from every[:: max(1, len(every) // 60)] if kind != "type + colour + pattern" else every


def _unasked(spec: Spec, say: Callable[[Spec, random.Random], str], rng: random.Random, asked: set[str]) -> str:
    """A sentence that was not asked yet, if twenty tries find one: some specs can be said in few ways."""
    text = ""
    for _ in range(20):
        text = say(spec, rng)
        if text not in asked:
            break
    asked.add(text)
    return text


def _apportion(count: int) -> dict[Kind, int]:
    """Splits `count` by `_SHARES`, largest remainders first."""
    total = sum(_SHARES.values())
    exact = {kind: count * share / total for kind, share in _SHARES.items()}
    numbers = {kind: int(value) for kind, value in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: numbers[kind] - exact[kind])
    for kind in by_remainder[: count - sum(numbers.values())]:
        numbers[kind] += 1
    return numbers
