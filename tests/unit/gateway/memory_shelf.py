"""What items are written to where there is no engine: one collection in memory, and an encoder that counts pixels."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, FieldSpec, Hit, Pixels, Vectors
from vitrine.embedding.contract import ImagePolicy, ModelContract
from vitrine.embedding.encoder import Encoder
from vitrine.embedding.preprocess import prepare
from vitrine.errors import CollectionNotFound
from vitrine.gateway.items.folder import ImageFolder
from vitrine.gateway.items.pictures import ItemPictures
from vitrine.gateway.items.writing import ItemStore
from vitrine.gateway.pictures import Pictures
from vitrine.settings import ImageSettings, Settings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.reader import LoadState
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

CONTRACT = ModelContract(
    model="tiny",
    text_weights_sha256="0" * 64,
    image_weights_sha256="0" * 64,
    tokenizer_sha256="0" * 64,
    context_length=16,
    text_buckets=(16,),
    image=ImagePolicy(size=8),
    dimension=4,
)


@dataclass
class PixelEncoder:
    """Stands in for `Encoder` where items are written. A picture's vector is the axis of its strongest colour."""

    contract: ModelContract = CONTRACT
    limits: ImageSettings = field(default_factory=ImageSettings)
    failure: Exception | None = None
    batches: list[int] = field(default_factory=list)
    decoding: int = 0
    most_decoding: int = 0

    async def decode(self, data: bytes, deadline: Deadline) -> Pixels:
        deadline.remaining()
        return prepare(data, self.contract.image, self.limits)

    async def encode_pixels(self, pixels: Pixels, deadline: Deadline) -> Vectors:
        deadline.remaining()
        self.batches.append(len(pixels))
        if self.failure is not None:
            raise self.failure
        strongest = pixels.reshape(len(pixels), -1, 3).sum(axis=1).argmax(axis=1)
        return np.eye(self.contract.dimension, dtype=np.float32)[strongest]


@dataclass
class MemoryShelf:
    """Stands in for Milvus where items are written and collections are changed.

    Args:
        collection: the only one there is.
        failure: what the next writes end with.
        loads_after: questions after its state that a loading collection takes; None: it never ends.
    """

    collection: CollectionInfo
    failure: Exception | None = None
    loads_after: int | None = 0
    items: dict[str, EmbeddedItem] = field(default_factory=dict)
    upserts: list[list[str]] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    encoder: PixelEncoder = field(default_factory=PixelEncoder)
    _loading: int | None = None

    def put(self, item_id: str) -> None:
        """Places an item without a request."""
        item = CatalogueItem(item_id, Path(), "", "Old", "", {})
        self.items[item_id] = EmbeddedItem(item, np.eye(4, dtype=np.float32)[3])

    async def describe(
        self, name_or_alias: str, deadline: Deadline | None = None, *, counted: bool = True
    ) -> CollectionInfo:
        if name_or_alias not in {self.collection.name, *self.collection.aliases}:
            raise CollectionNotFound(f"There is no collection {name_or_alias!r}.", collection=name_or_alias)
        return self.collection

    async def list(self, deadline: Deadline | None = None) -> "list[CollectionInfo]":
        return [self.collection]

    async def load_state(self, name: str, deadline: Deadline | None = None) -> LoadState:
        if self._loading is not None and self.loads_after is not None:
            if self._loading >= self.loads_after:
                self.collection = replace(self.collection, loaded=True)
                self._loading = None
            else:
                self._loading += 1
        if self.collection.loaded:
            return LoadState(loaded=True, share=1.0)
        return LoadState(loaded=False, share=None if self._loading is None else 0.5)

    async def begin_load(self, name: str, deadline: Deadline | None = None) -> None:
        self._obey(f"load {name}")
        self._loading = 0

    async def release(self, name: str, deadline: Deadline | None = None) -> None:
        self._obey(f"release {name}")
        self.collection = replace(self.collection, loaded=False)

    async def items_of(
        self,
        collection: str,
        ids: Sequence[str],
        deadline: Deadline,
        *,
        fields: tuple[FieldSpec, ...] = (),
        strong: bool = False,
    ) -> Mapping[str, Hit]:
        assert collection == self.collection.name
        assert strong, "what was written a moment ago counts"
        return {
            item_id: Hit(item_id, 1.0, self.items[item_id].item.title, "", "")
            for item_id in ids
            if item_id in self.items
        }

    async def upsert(self, items: Sequence[EmbeddedItem], deadline: Deadline) -> int:
        deadline.remaining()
        self._fail()
        self.upserts.append([one.item.id for one in items])
        self.items |= {one.item.id: one for one in items}
        return len(items)

    async def delete(self, ids: Sequence[str], deadline: Deadline) -> "list[str]":
        deadline.remaining()
        self._fail()
        return [item_id for item_id in dict.fromkeys(ids) if self.items.pop(item_id, None) is not None]

    def store(self, settings: Settings, pictures: Pictures, metrics: GatewayMetrics) -> ItemStore:
        """The real store, on this shelf."""
        folder = ImageFolder(settings.items.images_root, settings.images.max_bytes, ThreadPoolExecutor(1))
        encoder = cast("Encoder", self.encoder)
        self.encoder.limits = settings.images
        return ItemStore(
            cast("CollectionAdmin", self),
            cast("VectorSearcher", self),
            encoder,
            ItemPictures(pictures, folder, encoder, at_once=settings.images.decode_threads),
            self._writer_of,
            metrics.items,
        )

    def _writer_of(self, info: CollectionInfo) -> CollectionWriter:
        assert info == self.collection
        return cast("CollectionWriter", self)

    def _obey(self, order: str) -> None:
        self._fail()
        self.orders.append(order)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure
