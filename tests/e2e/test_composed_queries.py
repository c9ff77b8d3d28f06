"""Composed queries mean something: three garments of the demo shop, in real engines, asked over HTTP."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from tests.e2e.conftest import OpenGateway
from tests.fixtures.indexing import Indexing
from tests.fixtures.stack import RunningStack
from vitrine.client import Client, ImagePart, TextPart, image, text
from vitrine.demo.articles import COLUMNS, article_row
from vitrine.demo.catalogue import ARTICLES, image_path
from vitrine.demo.composed import LESS
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED, Product, sample_products
from vitrine.demo.drawing import draw

ALIAS = "demo_garments"
FIRST = 10


def _belongs(product: Product) -> bool:
    return product.garment in ("dress", "blouse") or (product.garment, product.pattern) == ("t-shirt", "striped")


SHOP = {p.article_id: p for p in sample_products(DEFAULT_COUNT, DEFAULT_SEED) if _belongs(p)}


@pytest.fixture(scope="module")
def demo_garments(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The alias of the demo catalogue's dresses, blouses and striped t-shirts."""
    folder = tmp_path_factory.mktemp("garments")
    for product in SHOP.values():
        path = folder / image_path(product.article_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_jpeg(product))
    with (folder / ARTICLES).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(article_row(product) for product in SHOP.values())
    ended = Indexing(stack.settings, tmp_path_factory.mktemp("garments_state")).index(folder, ALIAS)
    assert ended.counts["written"] == len(SHOP)
    return ALIAS


@pytest.fixture
def client(open_gateway: OpenGateway, demo_garments: str) -> Iterator[Client]:
    with Client(open_gateway().url, timeout_s=30) as client:
        yield client


def _jpeg(product: Product) -> bytes:
    file = io.BytesIO()
    draw(product).save(file, format="JPEG", quality=90)
    return file.getvalue()


def _found(client: Client, parts: Sequence[TextPart | ImagePart]) -> list[Product]:
    hits = client.search(ALIAS, parts, limit=FIRST).hits
    assert len(hits) == FIRST
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    return [SHOP[hit.id] for hit in hits]


@pytest.mark.parametrize("weight", [LESS, -0.5])
def test_dress_minus_floral_finds_dresses_without_flowers(client: Client, weight: float) -> None:
    plain = _found(client, [text("dress")])
    assert any(product.pattern == "floral" for product in plain), "nothing to leave out: this shows nothing"
    found = _found(client, [text("dress"), text("floral", weight)])
    assert {product.garment for product in found} == {"dress"}
    assert "floral" not in {product.pattern for product in found}


def test_a_picture_of_a_striped_shirt_plus_red_finds_red_striped_ones(client: Client) -> None:
    def share(found: Sequence[Product]) -> float:
        return sum((product.colour, product.pattern) == ("red", "striped") for product in found) / FIRST

    alone, composed = [], []
    sold = next(p for p in SHOP.values() if (p.garment, p.pattern) == ("blouse", "striped"))
    for colour in ("blue", "green", "yellow", "black"):
        shirt = image(_jpeg(replace(sold, colour=colour, seed=1)))  # a cut that is not in the shop
        alone.append(share(_found(client, [shirt])))
        composed.append(share(_found(client, [shirt, text("red")])))
    assert max(alone) < 0.5, "the pictures by themselves find red ones: this shows nothing"
    assert sum(composed) / len(composed) >= 0.8, composed
    assert min(composed) >= 0.6, composed
