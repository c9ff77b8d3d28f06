"""The demo shop, drawn, indexed by the real indexer, found again by its own pictures."""

from pathlib import Path

import pytest

from tests.fixtures.indexing import Indexing
from tests.fixtures.stack import RunningStack
from vitrine.demo.catalogue import write_catalogue
from vitrine.demo.design import sample_products
from vitrine.domain import Deadline
from vitrine.embedding.encoder import open_encoder
from vitrine.search.request import ImagePart, SearchRequest
from vitrine.search.searcher import Searcher
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.searcher import VectorSearcher

COUNT = 48
SEED = 11
ALIAS = "demo_shop"


@pytest.fixture(scope="module")
def demo(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Indexing]:
    """The demo shop's folder, indexed, and the runner that did it."""
    root = tmp_path_factory.mktemp("demo")
    write_catalogue(root / "shop", count=COUNT, seed=SEED, workers=1, on_progress=lambda _done, _total: None)
    indexing = Indexing(stack.settings, root / "state")
    ended = indexing.index(root / "shop", ALIAS)
    assert ended.counts == {"read": COUNT, "written": COUNT, "unchanged": 0, "rejected": 0, "dropped": 0}
    return root / "shop", indexing


async def test_every_picture_finds_its_own_product(stack: RunningStack, demo: tuple[Path, Indexing]) -> None:
    folder, _ = demo
    settings = stack.settings
    async with open_encoder(settings) as encoder, await MilvusConnection.open(settings.milvus) as connection:
        searcher = Searcher(encoder, CollectionDirectory(CollectionAdmin(connection)), VectorSearcher(connection))
        for product in sample_products(COUNT, SEED)[::6]:
            picture = folder / "images" / product.article_id[:3] / f"{product.article_id}.jpg"
            request = SearchRequest(ALIAS, (ImagePart(_bytes_of(picture)),), limit=3)
            result = await searcher.search(request, Deadline.after(30), StageClock())
            best = result.hits[0]
            assert best.score > 0.999
            # Two products of a small shop may look alike to the model; the right one is among the equals.
            equals = {hit.id: hit for hit in result.hits if hit.score > best.score - 1e-4}
            hit = equals[product.article_id]
            assert (hit.title, hit.group) == (product.name, product.product_code)
            assert hit.fields["colour_group_name"]
            assert hit.image_path == f"images/{product.article_id[:3]}/{product.article_id}.jpg"
            assert result.collection == f"{ALIAS}_v1"


def test_indexing_the_demo_again_changes_nothing(demo: tuple[Path, Indexing]) -> None:
    folder, indexing = demo
    assert indexing.index(folder, ALIAS).counts["unchanged"] == COUNT


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes()
