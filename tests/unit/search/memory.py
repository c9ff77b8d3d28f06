"""Searching without an engine: a store that compares with every vector, an encoder that reads vectors out of texts."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, FieldSpec, FieldType, FieldValue, Hit, Vectors
from vitrine.embedding.encoder import EncodedTexts, Encoder
from vitrine.errors import CollectionNotFound, ContractMismatch, ImageCorrupt, QueryEmpty, VitrineError
from vitrine.search.request import SearchRequest, SearchResult
from vitrine.search.searcher import Searcher
from vitrine.settings import SearchSettings
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.collection import EMBEDDING, GROUP, ID, CollectionInfo
from vitrine.vectorstore.columns import columns_of
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import Flat, IndexParams
from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.searcher import VectorSearcher

FIELDS = (
    FieldSpec("colour", FieldType.TEXT, facetable=True),
    FieldSpec("stock", FieldType.INTEGER, facetable=True),
    FieldSpec("price", FieldType.NUMBER),
    FieldSpec("note", FieldType.TEXT, filterable=False),
)
INFO = CollectionInfo(
    name="shop_v1",
    dimension=2,
    rows=0,
    fields=FIELDS,
    index=Flat(),
    fingerprint="f" * 64,
    model="tiny",
    build_id="b1",
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
    loaded=True,
    aliases=("shop",),
    group_name="product_code",
)
_NONE_OF = re.compile(r"\(not \((?P<column>\w+) in (?P<values>\[.*\])\)\)", re.DOTALL)


def at(score: float) -> Vectors:
    """The vector of length 1 whose score for the query [1, 0] is `score`."""
    return np.array([score, np.sqrt(1.0 - score * score)], np.float32)


def item(item_id: str, score: float, group: str = "", **fields: FieldValue) -> EmbeddedItem:
    return EmbeddedItem(
        CatalogueItem(item_id, Path("x"), f"{item_id}.jpg", f"Item {item_id}", group, fields), at(score)
    )


@dataclass
class MemoryStore:
    """Stands in for `VectorSearcher`. Of filters it knows those that leave values of a column out."""

    items: list[EmbeddedItem]
    failure: VitrineError | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)

    async def neighbours(
        self,
        collection: str,
        vectors: Vectors,
        *,
        limit: int,
        offset: int,
        wanted: int,
        index: IndexParams,
        fields: tuple[FieldSpec, ...],
        described: bool,
        params: Mapping[str, int],
        expression: str,
        deadline: Deadline,
        with_vectors: bool,
    ) -> list[Neighbours]:
        self.calls.append({"collection": collection, "vectors": len(vectors), "limit": limit, "expression": expression})
        if self.failure is not None:
            raise self.failure
        return [self._near(vector, limit, offset, fields, described, expression, with_vectors) for vector in vectors]

    async def vectors_of(self, collection: str, ids: Sequence[str], deadline: Deadline) -> dict[str, Vectors]:
        self.calls.append({"collection": collection, "ids": list(ids)})
        return {one.item.id: one.vector for one in self.items if one.item.id in ids}

    async def items_of(
        self,
        collection: str,
        ids: Sequence[str],
        deadline: Deadline,
        *,
        fields: tuple[FieldSpec, ...],
        with_vectors: bool,
    ) -> dict[str, Hit]:
        found = self._near(np.array([1, 0], np.float32), len(self.items), 0, fields, True, "", with_vectors)
        return {hit.id: hit for hit in found.hits(range(len(found))) if hit.id in ids}

    async def sizes(
        self, collection: str, column: str, values: Sequence[FieldValue], expression: str, deadline: Deadline
    ) -> dict[FieldValue, int]:
        return {value: sum(_stored(one, column) == value for one in self.items) for value in values}

    def _near(
        self,
        vector: Vectors,
        limit: int,
        offset: int,
        fields: tuple[FieldSpec, ...],
        described: bool,
        expression: str,
        with_vectors: bool,
    ) -> Neighbours:
        kept = [one for one in self.items if not _left_out(one, expression)]
        if not kept:
            return Neighbours([], [], [], {}, fields)
        scores = np.clip(np.stack([one.vector for one in kept]) @ vector, -1, 1).tolist()
        ids = [one.item.id for one in kept]
        order = sorted(range(len(kept)), key=lambda row: (-scores[row], ids[row]))[offset : offset + limit]
        columns = {column.field_name: column for column in columns_of(kept, FIELDS, 2)}
        if not described:
            columns = {GROUP: columns[GROUP], **{one.name: columns[one.name] for one in fields}}
        if not with_vectors:
            columns.pop(EMBEDDING, None)
        return Neighbours(ids, scores, order, columns, fields)


def _stored(one: EmbeddedItem, column: str) -> FieldValue | None:
    own = {ID: one.item.id, GROUP: one.item.group}
    return own[column] if column in own else one.item.fields.get(column)


def _left_out(one: EmbeddedItem, expression: str) -> bool:
    if not expression:
        return False
    found = _NONE_OF.fullmatch(expression)
    assert found is not None, f"the store in memory does not know {expression}"
    return _stored(one, found["column"]) in json.loads(found["values"])


@dataclass
class ReadingEncoder:
    """Stands in for `Encoder`: the text "0.6" is the query whose score for `at(x)` is that of `at(0.6)`."""

    fingerprint: str = "f" * 64
    failure: VitrineError | None = None
    texts: list[list[str]] = field(default_factory=list)
    pictures: list[list[bytes]] = field(default_factory=list)

    @property
    def contract(self) -> Any:
        return SimpleNamespace(fingerprint=self.fingerprint, model="tiny", require=self._require)

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        self.texts.append(list(texts))
        if self.failure is not None:
            raise self.failure
        if not all(texts):
            raise QueryEmpty("nothing to see")
        return EncodedTexts(np.stack([at(float(text[:8])) for text in texts]), tuple(len(text) > 8 for text in texts))

    async def encode_images(self, pictures: Sequence[bytes], deadline: Deadline, clock: StageClock) -> Vectors:
        self.pictures.append(list(pictures))
        if b"broken" in pictures:
            raise ImageCorrupt("a damaged picture")
        return np.stack([at(float(data[:4])) for data in pictures])

    def _require(self, fingerprint: str, owner: str) -> None:
        if fingerprint != self.fingerprint:
            raise ContractMismatch(f"{owner} differs", owner=owner)


@dataclass
class Names:
    """Stands in for `CollectionDirectory`."""

    known: dict[str, CollectionInfo]
    later: dict[str, CollectionInfo] = field(default_factory=dict)
    """What names mean once they were forgotten."""
    forgotten: list[str] = field(default_factory=list)

    async def resolve(self, name: str, deadline: Deadline) -> CollectionInfo:
        if name not in self.known:
            raise CollectionNotFound(f"There is no collection {name!r}.", collection=name)
        return self.known[name]

    def invalidate(self, name: str) -> None:
        self.forgotten.append(name)
        if name in self.later:
            self.known[name] = self.later[name]


@dataclass
class Bench:
    """A searcher and all that stands in for its engines."""

    store: MemoryStore
    encoder: ReadingEncoder
    names: Names
    settings: SearchSettings

    def __post_init__(self) -> None:
        self.searcher = Searcher(
            cast("Encoder", self.encoder),
            cast("CollectionDirectory", self.names),
            cast("VectorSearcher", self.store),
            self.settings,
        )

    async def search(self, request: SearchRequest) -> SearchResult:
        return await self.searcher.search(request, Deadline.after(30), StageClock())

    async def search_many(self, *requests: SearchRequest) -> list[SearchResult | VitrineError]:
        return await self.searcher.search_many(requests, Deadline.after(30), StageClock())

    async def walk(self, request: SearchRequest, limits: Sequence[int] = ()) -> list[SearchResult]:
        """Every page; the first have the given limits."""
        pages: list[SearchResult] = []
        following = replace(request, paged=True)
        while len(pages) < 200:
            limit = limits[len(pages)] if len(pages) < len(limits) else request.limit
            pages.append(await self.search(replace(following, limit=limit)))
            if pages[-1].next_cursor is None:
                return pages
            following = replace(following, cursor=pages[-1].next_cursor)
        raise AssertionError("a walk without an end")


def bench(items: Sequence[EmbeddedItem], **settings: Any) -> Bench:
    """A searcher over one collection, `shop_v1`, behind the alias `shop`."""
    return Bench(
        MemoryStore(list(items)),
        ReadingEncoder(),
        Names({"shop": INFO, "shop_v1": INFO}),
        SearchSettings.model_validate(settings),
    )
