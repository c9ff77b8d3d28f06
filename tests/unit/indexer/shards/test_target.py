"""Moments that cannot be made on a real Milvus: a creation that died half way, two at the same instant."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from tests.unit.indexer.shards.test_report import INFO
from vitrine.errors import CollectionNotFound, DeadlineExceeded, InvalidInput
from vitrine.indexer.shards import target as shard_target
from vitrine.indexer.shards.sharding import Shard
from vitrine.indexer.shards.target import join_target
from vitrine.indexer.target import Target, Wanted
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.lineage import Lineage

WANTED = Wanted(alias="shop", dimension=4, fields=(), index=None, fingerprint="f" * 64, model="demo")
HALF_MADE = replace(INFO, build_id="", loaded=False)


@dataclass
class MemoryAdmin:
    """Collections in memory; `create` takes a moment, in which the collection is half-made."""

    collections: dict[str, CollectionInfo] = field(default_factory=dict)
    created: int = 0
    dropped: int = 0
    refuse: bool = False

    async def exists(self, name: str) -> bool:
        return name in self.collections

    async def list(self, *, counted: bool) -> list[CollectionInfo]:
        return list(self.collections.values())

    async def describe(self, name: str, *, counted: bool) -> CollectionInfo:
        if name not in self.collections:
            raise CollectionNotFound(f"no {name}")
        return self.collections[name]

    async def create(self, spec: CollectionSpec, *, on_progress: object) -> CollectionInfo:
        if self.refuse or spec.name in self.collections:
            raise InvalidInput("taken, or no such index")
        self.collections[spec.name] = replace(HALF_MADE, name=spec.name, created_at=datetime.now(UTC))
        await asyncio.sleep(0.05)
        self.created += 1
        self.collections[spec.name] = replace(INFO, name=spec.name)
        return self.collections[spec.name]

    async def drop(self, name: str) -> None:
        self.dropped += 1
        del self.collections[name]

    async def record_lineage(self, name: str, lineage: Lineage) -> None:
        self.collections[name] = replace(self.collections[name], lineage=lineage)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_target, "POLL_S", 0.01)


async def join(admin: MemoryAdmin, number: int = 1) -> Target:
    return await join_target(cast("CollectionAdmin", admin), WANTED, Shard(number, 4), None, lambda _what, _share: None)


async def test_shards_that_come_at_the_same_moment_fill_one_collection() -> None:
    admin = MemoryAdmin()
    targets = await asyncio.gather(*(join(admin, number) for number in (1, 2, 3, 4)))
    assert {target.info.name for target in targets} == {"shop_v1"}
    assert (admin.created, admin.dropped) == (1, 0)
    assert not any(target.live or target.candidate for target in targets)


async def test_a_collection_that_a_dead_process_began_is_dropped_once_and_made_again() -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    admin = MemoryAdmin({"shop_v1": replace(HALF_MADE, created_at=long_ago)})
    targets = await asyncio.gather(*(join(admin, number) for number in (1, 2)))
    assert {target.info.name for target in targets} == {"shop_v1"}
    assert (admin.created, admin.dropped) == (1, 1)


async def test_one_that_was_begun_a_moment_ago_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_target, "JOIN_TIMEOUT_S", 0.1)
    admin = MemoryAdmin({"shop_v1": replace(HALF_MADE, created_at=datetime.now(UTC))})
    with pytest.raises(DeadlineExceeded, match="shop_v1"):
        await join(admin)
    assert admin.dropped == 0


async def test_a_collection_that_nobody_can_make_is_an_error_at_once() -> None:
    with pytest.raises(InvalidInput, match="no such index"):
        await join(MemoryAdmin(refuse=True))


async def test_leftovers_of_another_model_are_passed_by() -> None:
    admin = MemoryAdmin({"shop_v1": replace(INFO, fingerprint="e" * 64)})
    assert (await join(admin)).info.name == "shop_v2"
    assert (await join(admin, 2)).info.name == "shop_v2"
