"""Queries of two parts whose right answers are known: a garment without a pattern, a picture in another colour.

A part that changes nothing must show in the figures. So a garment is only asked for without a pattern that a good share
of it has, and a picture never has the colour that is asked for with it.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vitrine.demo.captions import Spec, training_sentence
from vitrine.demo.design import Product
from vitrine.demo.queries import DEPTH, IMAGE_KIND, Addition, ComposedKind, Query, queries_of, unsold
from vitrine.demo.vocabulary import COLOURS, PATTERNS
from vitrine.demo.wording import COLOUR_WORDS, PRINTS

LESS = -0.25
"""Weight of a text that leads away from another text; docs/composed-queries.md has the figures behind it."""
MORE = 1.0
"""Weight of a text beside a picture: what a part weighs when nobody says anything."""
LEAST_UNWANTED = 1 / 8
"""Least share, of what the first part alone describes, that the second part must rule out."""

_TRIES = 20


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What could be asked. The second part is about `added`; the first shows `drawn`, or says the spec in words."""

    spec: Spec
    added: Spec
    relevant: frozenset[str]
    drawn: Product | None = None


def composed_queries(products: Sequence[Product], *, count: int = 40, seed: int = 0) -> list[Query]:
    """Draws `count` queries of each composed kind; equal arguments, equal queries.

    Raises ValueError if the catalogue is too small for any query of a kind to have `DEPTH` right answers.
    """
    kinds: dict[ComposedKind, list[_Candidate]] = {
        "type, not pattern": list(_unpatterned("type", products)),
        "type + colour, not pattern": list(_unpatterned("type + colour", products)),
        "image + colour": list(_recoloured(products)),
    }
    queries: list[Query] = []
    for kind, candidates in kinds.items():
        if not candidates:
            raise ValueError(f"no query of kind {kind!r} has {DEPTH} right answers among {len(products)} products")
        rng = random.Random(f"{kind}/{seed}")
        asked: set[tuple[str, str]] = set()
        for turn in range(count):
            if turn % len(candidates) == 0:
                rng.shuffle(candidates)
            queries.append(_query(kind, candidates[turn % len(candidates)], rng, asked))
    return queries


def _unpatterned(kind: Literal["type", "type + colour"], products: Sequence[Product]) -> Iterator[_Candidate]:
    by_id = {product.article_id: product for product in products}
    for spec, ids in queries_of(kind, products):
        described = [by_id[article_id] for article_id in ids]
        for pattern in PATTERNS:
            relevant = frozenset(product.article_id for product in described if product.pattern != pattern.key)
            if len(relevant) >= DEPTH and len(described) - len(relevant) >= LEAST_UNWANTED * len(described):
                yield _Candidate(spec, Spec(pattern=pattern.key), relevant)


def _recoloured(products: Sequence[Product]) -> Iterator[_Candidate]:
    sold = {product.article_id: product for product in products}
    for spec, relevant in queries_of(IMAGE_KIND, products):
        twin = sold[min(relevant)]
        for colour in COLOURS:
            if colour.key != spec.colour:
                yield _Candidate(spec, Spec(colour=spec.colour), relevant, drawn=replace(twin, colour=colour.key))


def _query(kind: ComposedKind, candidate: _Candidate, rng: random.Random, asked: set[tuple[str, str]]) -> Query:
    """A query that asks for the candidate. Words that were used together already come again only if others run out."""
    spec, added = candidate.spec, candidate.added
    if candidate.drawn is not None:
        addition = Addition(rng.choice(COLOUR_WORDS[added.colour or ""]), added, MORE)
        return Query(kind, spec, candidate.relevant, drawing=unsold(candidate.drawn, rng), addition=addition)
    words = PRINTS[added.pattern or ""]
    for _ in range(_TRIES):
        said = training_sentence(spec, rng), rng.choice([*words.adjectives, *words.features])
        if said not in asked:
            break
    asked.add(said)
    return Query(kind, spec, candidate.relevant, text=said[0], addition=Addition(said[1], added, LESS))
