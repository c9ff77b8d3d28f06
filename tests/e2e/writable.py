"""A collection that a test may write to, behind an alias of its own."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import httpx

from tests.fixtures.indexing import Shelf
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import jpeg
from vitrine.domain import FieldSpec, FieldType, Hit, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import parse_index

FIELDS = (
    FieldSpec("colour", FieldType.TEXT, facetable=True),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("stock", FieldType.INTEGER),
    FieldSpec("sale", FieldType.FLAG),
)
Answer = TypeVar("Answer")


class Writable:
    """One empty collection; what it holds is read from Milvus itself, after every write before.

    Args:
        settings: lead to Milvus and name the model.
        alias: points at `<alias>_v1`.
    """

    def __init__(self, settings: Settings, alias: str, *, fingerprint: str | None = None) -> None:
        self.settings = settings
        self.alias = alias
        self.path = f"/v1/collections/{alias}/items"
        ours = ModelContract.load(settings.model.repository)
        self.fingerprint = fingerprint or ours.fingerprint
        self._dimension = ours.dimension
        self.make("v1")

    def make(self, version: str) -> None:
        """Makes another collection and points the alias at it."""
        name = f"{self.alias}_{version}"
        index = parse_index("flat", {})
        spec = CollectionSpec(name, self._dimension, FIELDS, index, self.fingerprint, "a model", group_name="design")

        async def run(admin: CollectionAdmin) -> None:
            await admin.create(spec)
            await admin.point_alias(self.alias, name)

        self._with(lambda shelf: run(shelf.admin))

    def count(self) -> int:
        """Rows, those of one id twice if there were any."""
        return self._with(lambda shelf: shelf.admin.count(self.alias))

    def ids(self) -> list[str]:
        """Every id, in order; fails the test when one stands in two rows."""
        return self._with(lambda shelf: shelf.ids(self.alias))

    def hits(self, ids: Sequence[str]) -> dict[str, Hit]:
        """Items with all their fields."""
        return self._with(lambda shelf: shelf.hits(self.alias, ids))

    def vector(self, item_id: str, alias: str | None = None) -> Vectors:
        """float32 [dim]."""
        return self._with(lambda shelf: shelf.vectors(alias or self.alias, [item_id]))[item_id]

    def put(self, gateway: RunningGateway, item_id: str, seed: int = 0, **members: Any) -> httpx.Response:
        """PUT of an item whose picture is drawn from a seed."""
        timeout = {"X-Timeout-Ms": str(members.pop("timeout_ms"))} if "timeout_ms" in members else {}
        picture = {"image": ("x.jpg", jpeg(seed))}
        return gateway.http.put(f"{self.path}/{item_id}", files=picture, data=members, headers=timeout)

    def _with(self, ask: Callable[[Shelf], Awaitable[Answer]]) -> Answer:
        async def run() -> Answer:
            async with await MilvusConnection.open(self.settings.milvus) as connection:
                return await ask(Shelf(connection))

        return asyncio.run(run())
