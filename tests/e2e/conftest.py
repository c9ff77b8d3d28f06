"""A small catalogue, indexed once by the real indexer, and gateways that search it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.browser import driver, expected_failures, open_page, page  # noqa: F401 - found by their names here
from tests.fixtures.indexing import Indexing
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import Shop
from tests.fixtures.stack import RunningStack

PRODUCTS = tuple(f"{108775000 + n:010d}" for n in range(60))
COLOURS = ("Red", "Blue", 'Odd " or 1==1')

OpenGateway = Callable[..., RunningGateway]


@pytest.fixture(scope="session")
def shop(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a catalogue of 60 products that is in the collection behind the alias `products`."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    for n, product in enumerate(PRODUCTS):
        shop.add(product, colour_group_name=COLOURS[n % 3])
    folder = shop.write()
    Indexing(stack.settings, tmp_path_factory.mktemp("indexing")).index(folder, "products")
    return folder


@pytest.fixture
def open_gateway(stack: RunningStack, tmp_path: Path) -> Iterator[OpenGateway]:
    """Starts gateways with settings of their own: `open_gateway(max_in_flight=2)`."""
    opened: list[RunningGateway] = []

    def open_one(environment: dict[str, str] | None = None, **gateway: Any) -> RunningGateway:
        log = tmp_path / f"gateway-{len(opened)}.log"
        opened.append(RunningGateway(stack.settings, log, environment=environment, **gateway))
        opened[-1].wait_alive()
        return opened[-1]

    yield open_one
    for gateway in opened:
        gateway.stop()


@pytest.fixture(scope="session")
def gateway(stack: RunningStack, shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway with the default settings for all tests that leave it as it is."""
    gateway = RunningGateway(stack.settings, tmp_path_factory.mktemp("gateway") / "log", media_root=shop)
    gateway.wait_alive()
    yield gateway
    gateway.stop()
