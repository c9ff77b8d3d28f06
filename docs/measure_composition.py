"""Measures ways to put the parts of a query together, and weights, over drawn shops: the tables of composed-queries.md.

    python docs/measure_composition.py --shop 103 --shop 7

Asks the Triton server of the running stack (`vitrine up`) for embeddings and ranks exactly in NumPy, so neither an
index nor the gateway has a part in the figures. A shop is 2,520 products drawn from its seed: about a minute each.
"""

import argparse
import asyncio
import io
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from vitrine.demo.captions import Spec, truth
from vitrine.demo.composed import LEAST_UNWANTED, composed_queries
from vitrine.demo.design import DEFAULT_COUNT, Product, sample_products
from vitrine.demo.drawing import draw
from vitrine.demo.queries import DEPTH, ComposedKind, queries_of
from vitrine.demo.wording import COLOUR_WORDS, NOUNS, PRINTS
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.encoder import Encoder, open_encoder
from vitrine.local.gateway import meeting_the_stack
from vitrine.settings import read_settings
from vitrine.telemetry.stages import StageClock

SHOP_QUALITY, QUERY_QUALITY = 88, 90  # of the JPEGs, as in the demo catalogue and in `vitrine evaluate`
BATCH = 32
BATCH_S = 60.0
LESS = (-0.1, -0.2, -0.25, -0.3, -0.4, -0.5, -0.75, -1.0, -1.25, -1.5, -2.0)
MORE = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)

Rule: TypeAlias = Callable[[Vectors, Vectors, float], Vectors]


@dataclass(frozen=True)
class Question:
    """Queries of one kind: vectors of their first and second parts, float32 [n, dim], and what is right.

    Args:
        right: bool [n, products].
        pictured: the first parts are pictures, not texts.
        own: products that the queries are made of, one for each; a search never gives them back.
    """

    name: str
    first: Vectors
    second: Vectors
    right: npt.NDArray[np.bool_]
    weights: Sequence[float]
    pictured: bool = False
    own: Sequence[int] = ()

    def precision(self, shop: Vectors, queries: Vectors) -> float:
        """Mean precision@10 of exact neighbours."""
        scores = queries @ shop.T
        if self.own:
            scores[np.arange(len(scores)), self.own] = -np.inf
        best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
        return float(np.take_along_axis(self.right, best, axis=1).mean())


class Embedder:
    """Texts and drawings to unit vectors."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    async def texts(self, texts: Sequence[str]) -> Vectors:
        answer = await self._encoder.encode_texts(texts, Deadline.after(BATCH_S), StageClock())
        return answer.vectors

    async def drawings(self, products: Sequence[Product], quality: int) -> Vectors:
        batches = [products[start : start + BATCH] for start in range(0, len(products), BATCH)]
        vectors = []
        for number, batch in enumerate(batches):
            print(f"\r{number * BATCH} of {len(products)} drawn ", end="", file=sys.stderr, flush=True)
            pictures = await asyncio.to_thread(_jpegs, batch, quality)
            vectors.append(await self._encoder.encode_images(pictures, Deadline.after(BATCH_S), StageClock()))
        return np.concatenate(vectors)


def _jpegs(products: Sequence[Product], quality: int) -> list[bytes]:
    files = [io.BytesIO() for _ in products]
    for product, file in zip(products, files, strict=True):
        draw(product).save(file, format="JPEG", quality=quality)
    return [file.getvalue() for file in files]


async def evaluated(products: Sequence[Product], embedder: Embedder) -> list[Question]:
    """The kinds that `vitrine evaluate` asks, four times as many of each."""
    ids = np.array([product.article_id for product in products])
    queries = composed_queries(products, count=160)
    questions = []
    for kind in get_args(ComposedKind):
        asked = [query for query in queries if query.kind == kind]
        drawings = [query.drawing for query in asked if query.drawing]
        if drawings:
            first = await embedder.drawings(drawings, QUERY_QUALITY)
        else:
            first = await embedder.texts([query.text for query in asked])
        second = await embedder.texts([query.addition.text for query in asked if query.addition])
        right = np.array([np.isin(ids, list(query.relevant)) for query in asked])
        questions.append(Question(kind, first, second, right, MORE if drawings else LESS, bool(drawings)))
    return questions


async def patterned(products: Sequence[Product], shop: Vectors, embedder: Embedder) -> Question:
    """A product of the shop and a pattern that it has not: right is the product's type and colour in that pattern."""
    rng = random.Random("patterned")
    items, words, right = [], [], []
    for spec, relevant in queries_of("type + colour + pattern", products):
        twins = Spec(garment=spec.garment, colour=spec.colour)
        others = [n for n, product in enumerate(products) if truth(twins, product) and product.pattern != spec.pattern]
        if others:
            items.append(rng.choice(others))
            words.append(PRINTS[spec.pattern or ""].adjectives[0])
            right.append([product.article_id in relevant for product in products])
    return Question("product + pattern", shop[items], await embedder.texts(words), np.array(right), MORE, True, items)


async def unpatterned(products: Sequence[Product], shop: Vectors, embedder: Embedder) -> list[Question]:
    """A product less its own pattern, and a type less a product: right is the product's type in any other pattern.

    In "product + its type" both weigh 1.
    """
    rng = random.Random("unpatterned")
    items, nouns, patterns, right = [], [], [], []
    for spec, unwanted in queries_of("type + pattern", products):
        typed = [product.garment == spec.garment for product in products]
        if len(unwanted) >= LEAST_UNWANTED * sum(typed):
            items.append(rng.choice([n for n, product in enumerate(products) if product.article_id in unwanted]))
            nouns.append(NOUNS[spec.garment or ""][0][0])
            patterns.append(PRINTS[spec.pattern or ""].adjectives[0])
            right.append([product.garment == spec.garment and product.pattern != spec.pattern for product in products])
    types, prints = await embedder.texts(nouns), await embedder.texts(patterns)
    return [
        Question("product, not its pattern", shop[items], prints, np.array(right), LESS, True, items),
        Question(
            "product + its type, not its pattern", shop[items] + types, prints, np.array(right), LESS, True, items
        ),
        Question("type, not a product of that pattern", types, shop[items], np.array(right), LESS, False, items),
    ]


async def rules(question: Question, shop: Vectors, embedder: Embedder) -> Mapping[str, Rule]:
    """Ways to make one vector of two parts, before it is scaled to unit length."""
    vocabulary = [*COLOUR_WORDS.values(), *(p.adjectives for p in PRINTS.values())]
    words = [word for group in vocabulary for word in group] + [noun for nouns in NOUNS.values() for noun, _ in nouns]
    of_texts = (await embedder.texts(words)).mean(0)
    of_firsts = shop.mean(0) if question.pictured else of_texts
    generic = (await embedder.texts(["clothes", "something", "a product", "a photo of a product"])).mean(0)

    def spread(vectors: Vectors) -> Vectors:
        return np.asarray((vectors @ shop.T).std(axis=1, keepdims=True), np.float32)

    def apart(first: Vectors, second: Vectors) -> Vectors:
        return np.asarray(first - np.sum(first * second, axis=1, keepdims=True) * second, np.float32)

    return {
        "weighted sum": lambda a, b, w: a + w * b,
        "each part divided by the spread of its scores": lambda a, b, w: a / spread(a) + w * b / spread(b),
        "each part less the mean of its kind": lambda a, b, w: (a - of_firsts) + w * (b - of_texts),
        "the text less a text that says nothing": lambda a, b, w: a + w * (b - generic),
        "the first part less its share along the text": lambda a, b, w: apart(a, b) + w * b,
    }


def table(question: Question, shop: Vectors, ways: Mapping[str, Rule]) -> Iterator[str]:
    """Markdown: a line for each rule, a column for each weight."""
    alone = question.precision(shop, question.first)
    yield f"\n{question.name}: {len(question.first)} queries, first part alone {alone:.3f}\n"
    yield "| weight | " + " | ".join(f"{weight:g}" for weight in question.weights) + " |"
    yield "|---|" + "---:|" * len(question.weights)
    for name, rule in ways.items():
        figures = [
            question.precision(shop, rule(question.first, question.second, weight)) for weight in question.weights
        ]
        yield f"| {name} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |"


async def measure(seed: int, embedder: Embedder) -> None:
    """Prints the tables of one shop."""
    products = sample_products(DEFAULT_COUNT, seed)
    shop = await embedder.drawings(products, SHOP_QUALITY)
    compared = await evaluated(products, embedder)
    advised = [await patterned(products, shop, embedder), *await unpatterned(products, shop, embedder)]
    print(f"\n## Shop {seed}")
    for question in compared:
        print("\n".join(table(question, shop, await rules(question, shop, embedder))))
    for question in advised:
        print("\n".join(table(question, shop, {"weighted sum": lambda a, b, w: a + w * b})))
    texts, pictures = compared[0].first, compared[-1].first
    spreads = [float((vectors @ shop.T).std(axis=1).mean()) for vectors in (texts, pictures)]
    print(f"\nSpread of scores over the shop: texts {spreads[0]:.3f}, pictures {spreads[1]:.3f}", flush=True)


async def main(seeds: Sequence[int]) -> None:
    """One shop after the other."""
    async with open_encoder(meeting_the_stack(read_settings())) as encoder:
        for seed in seeds:
            await measure(seed, Embedder(encoder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shop", type=int, action="append", required=True, help="seed of a shop; may be given again")
    asyncio.run(main(parser.parse_args().shop))
