"""Puts evaluation queries to a running gateway, a few at a time."""

import csv
import io
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vitrine.client import Client, ImagePart, TextPart, image, text
from vitrine.demo.catalogue import ARTICLES, MARKER
from vitrine.demo.design import Product, sample_products
from vitrine.demo.drawing import draw
from vitrine.demo.evaluation import Outcome
from vitrine.demo.queries import DEPTH, Query
from vitrine.errors import CatalogueInvalid

_JPEG_QUALITY = 90


def stocked_products(folder: Path) -> list[Product]:
    """The products of a demo catalogue on disk, from its marker, checked against its articles.csv.

    Raises:
        CatalogueInvalid: no demo catalogue there, or not the one that its marker describes.
    """
    try:
        recipe = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        products = sample_products(int(recipe["count"]), int(recipe["seed"]))
        with (folder / ARTICLES).open(encoding="utf-8", newline="") as file:
            stocked = [row["article_id"] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogueInvalid(f"{folder} holds no complete demo catalogue: {error}.") from error
    if sorted(stocked) != sorted(product.article_id for product in products):
        raise CatalogueInvalid(
            f"{folder / ARTICLES} lists other articles than the demo catalogue of {recipe['count']} products "
            f"and seed {recipe['seed']}: what is right there is not known."
        )
    return products


def ask_all(
    client: Client,
    collection: str,
    queries: Sequence[Query],
    *,
    concurrency: int,
    timeout_ms: int,
    on_answer: Callable[[], None],
) -> list[Outcome]:
    """Asks every query, at most `concurrency` at once, each with a deadline; outcomes in the order of the queries.

    The first part of a composed query is also asked by itself.

    Raises:
        ApiError, GatewayUnreachable: of the first query that fails; those not yet sent are dropped.
    """
    failures: list[Exception] = []

    def attempt(query: Query) -> Outcome | None:
        if failures:
            return None
        try:
            return _ask(client, collection, query, timeout_ms)
        except Exception as error:
            failures.append(error)
            raise

    with ThreadPoolExecutor(concurrency) as pool:
        futures = [pool.submit(attempt, query) for query in queries]
        for _ in as_completed(futures):
            on_answer()
    if failures:
        raise failures[0]
    return [outcome for future in futures if (outcome := future.result()) is not None]


def _ask(client: Client, collection: str, query: Query, timeout_ms: int) -> Outcome:
    first = text(query.text) if query.drawing is None else image(_jpeg(query.drawing))
    addition = query.addition
    if addition is None:
        return Outcome(query, *_found(client, collection, [first], timeout_ms))
    ids, took_ms = _found(client, collection, [first, text(addition.text, addition.weight)], timeout_ms)
    alone, _ = _found(client, collection, [first], timeout_ms)
    return Outcome(query, ids, took_ms, alone)


def _found(
    client: Client, collection: str, parts: Sequence[TextPart | ImagePart], timeout_ms: int
) -> tuple[tuple[str, ...], float]:
    """Ids, best first, and the milliseconds it took."""
    started = time.perf_counter()
    answer = client.search(collection, parts, limit=DEPTH, timeout_ms=timeout_ms)
    took_ms = (time.perf_counter() - started) * 1000
    return tuple(hit.id for hit in answer.hits), took_ms


def _jpeg(product: Product) -> bytes:
    file = io.BytesIO()
    draw(product).save(file, format="JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()
