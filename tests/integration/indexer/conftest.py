from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.fixtures.indexing import Indexing, Shelf
from tests.fixtures.shop import Shop
from tests.fixtures.stack import RunningStack
from vitrine.vectorstore.connection import MilvusConnection


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
def indexing(stack: RunningStack, tmp_path: Path) -> Iterator[Indexing]:
    indexing = Indexing(stack.settings, tmp_path / "state")
    yield indexing
    indexing.close()


@pytest.fixture
async def shelf(stack: RunningStack) -> AsyncIterator[Shelf]:
    async with await MilvusConnection.open(stack.settings.milvus) as connection:
        yield Shelf(connection)
