"""Every example of the documentation is run: what a reader copies must work, and answer what the page shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.documented import Example, Reader, examples_of
from tests.fixtures.indexing import Indexing
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import COLUMNS, Shop, jpeg
from tests.fixtures.stack import ROOT, RunningStack

DOCUMENTS = ("api.md", "client.md", "auth.md")
ALIAS = "documented"
FOUND = {name: examples_of(ROOT / "docs" / name) for name in DOCUMENTS if (ROOT / "docs" / name).exists()}
EXAMPLES = [example for examples in FOUND.values() for example in examples]


@pytest.fixture(scope="module")
def documented_shop(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of its own, since some examples write; with the product that the documents speak of."""
    shop = Shop(tmp_path_factory.mktemp("documented-shop"))
    shop.columns = [*COLUMNS, "price"]
    for n in range(40):
        shop.add(
            f"{108775000 + n:010d}",
            prod_name=("Wrap dress", "Strap top")[n % 2],
            colour_group_name=("Red", "Blue", "Green")[n % 3],
            price=f"{9.5 + n}",
        )
    folder = shop.write()
    Indexing(stack.settings, tmp_path_factory.mktemp("documented-indexing")).index(folder, ALIAS)
    return folder


@pytest.fixture(scope="module")
def reader(stack: RunningStack, documented_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader with pictures beside them, and a gateway that serves the shop's own."""
    gateway = RunningGateway(
        stack.settings,
        tmp_path_factory.mktemp("documented-gateway") / "log",
        environment={"VITRINE_ITEMS__IMAGES_ROOT": str(documented_shop)},
        media_root=documented_shop,
    )
    folder = tmp_path_factory.mktemp("reader")
    for name in ("shirt.jpg", "dress.jpg"):
        (folder / name).write_bytes(jpeg(len(name)))
    try:
        gateway.wait_alive()
        yield Reader(folder, gateway.url, ALIAS)
    finally:
        gateway.stop()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_has_examples(name: str) -> None:
    assert FOUND.get(name), f"no example was found in docs/{name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.source for example in EXAMPLES])
def test_an_example_does_what_its_page_says(reader: Reader, example: Example) -> None:
    reader.run(example)
