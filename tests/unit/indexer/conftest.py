from pathlib import Path

import pytest

from tests.fixtures.shop import Shop
from tests.unit.indexer.harness import Bench


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def bench(shop: Shop, tmp_path: Path) -> Bench:
    return Bench(shop, tmp_path)
