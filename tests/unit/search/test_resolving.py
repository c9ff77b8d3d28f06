import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.unit.search.memory import INFO
from vitrine.domain import Deadline
from vitrine.embedding.contract import ModelContract
from vitrine.errors import CollectionNotFound, CollectionNotReady, ContractMismatch, VitrineError
from vitrine.search.resolving import Resolved, Resolver
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.lineage import Lineage

OLD = replace(INFO, name="shop_v1", fingerprint="old", build_id="b1", aliases=())
NEW = replace(
    INFO,
    name="shop_v2",
    fingerprint="new",
    build_id="b2",
    aliases=("shop",),
    lineage=Lineage("shop", moved_from="shop_v1"),
)


class Aliases:
    """Stands in for `CollectionDirectory`."""

    def __init__(self, **found: CollectionInfo | VitrineError) -> None:
        self.found = found
        self.asked: list[str] = []

    async def resolve(self, name: str, deadline: Deadline) -> CollectionInfo:
        self.asked.append(name)
        found = self.found.get(name, CollectionNotFound("gone"))
        if isinstance(found, VitrineError):
            raise found
        return found


def require(mine: str) -> Any:
    def check(fingerprint: str, owner: str) -> None:
        if fingerprint != mine:
            raise ContractMismatch(owner)

    return check


def resolver(model: str, aliases: Aliases) -> Resolver:
    contract = SimpleNamespace(fingerprint=model, require=require(model))
    return Resolver(cast("CollectionDirectory", aliases), cast("ModelContract", contract))


def soon() -> Deadline:
    return Deadline.after(5)


async def test_a_process_of_the_new_model_follows_the_alias() -> None:
    aliases = Aliases(shop=NEW, shop_v1=OLD)
    assert await resolver("new", aliases).resolve("shop", soon()) == Resolved(NEW)
    assert aliases.asked == ["shop"]


async def test_a_process_of_the_old_model_goes_on_with_the_collection_before_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = resolver("old", Aliases(shop=NEW, shop_v1=OLD))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert await old.resolve("shop", soon()) == Resolved(OLD, previous=True)
    (told,) = [record.message for record in caplog.records]
    assert told.startswith(
        "shop points at shop_v2, which is of another model (tiny). This process goes on with shop_v1"
    )


@pytest.mark.parametrize(
    "before",
    [
        CollectionNotFound("dropped"),
        CollectionNotReady("half-made"),
        replace(OLD, loaded=False),
        replace(OLD, fingerprint="third"),
    ],
    ids=["gone", "half-made", "released", "of a third model"],
)
async def test_without_a_collection_of_its_model_a_process_refuses(before: CollectionInfo | VitrineError) -> None:
    with pytest.raises(ContractMismatch, match="shop_v2"):
        await resolver("old", Aliases(shop=NEW, shop_v1=before)).resolve("shop", soon())


async def test_no_process_looks_further_back_than_one_step() -> None:
    older = replace(OLD, name="shop_v0", fingerprint="oldest")
    middle = replace(OLD, lineage=Lineage("shop", moved_from="shop_v0"))
    aliases = Aliases(shop=NEW, shop_v1=middle, shop_v0=older)
    with pytest.raises(ContractMismatch):
        await resolver("oldest", aliases).resolve("shop", soon())
    assert aliases.asked == ["shop", "shop_v1"]


async def test_a_collection_asked_for_by_its_own_name_is_that_or_nothing() -> None:
    with pytest.raises(ContractMismatch):
        await resolver("old", Aliases(shop_v2=NEW, shop_v1=OLD)).resolve("shop_v2", soon())


async def test_a_collection_that_is_not_loaded_is_told() -> None:
    with pytest.raises(CollectionNotReady, match="shop_v2 is not loaded"):
        await resolver("new", Aliases(shop=replace(NEW, loaded=False))).resolve("shop", soon())


async def test_names_that_come_together_are_asked_for_once_and_fail_alone() -> None:
    aliases = Aliases(shop=NEW, other=OLD)
    found = await resolver("new", aliases).resolve_all(["shop", "gone", "shop", "other", "gone"], soon())
    assert aliases.asked == ["shop", "gone", "other"]
    assert found["shop"] == Resolved(NEW)
    assert [type(found[name]) for name in ("gone", "other")] == [CollectionNotFound, ContractMismatch]
    assert await resolver("new", aliases).resolve_all([], soon()) == {}
