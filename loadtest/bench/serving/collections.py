"""The collections of a run in a Milvus of its own: built once, kept between runs."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pymilvus import DataType, MilvusClient

from loadtest.bench.http_connection import BenchError
from loadtest.bench.merged_index import LONGEST_S, merge_segments, replace_index
from loadtest.bench.serving.sizes import INDEX
from vitrine.domain import CatalogueItem, EmbeddedItem, FieldSpec, FieldType, Vectors
from vitrine.embedding.contract import FINGERPRINT_PARAMETER, ModelContract
from vitrine.errors import CollectionNotFound, VitrineError
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import Flat
from vitrine.vectorstore.writer import CollectionWriter

RECIPE: Final = "recipe"
CALL_TIMEOUT_S: Final = 600.0
KNOWN_S: Final = 60.0
_BATCH: Final = 4_096
_MODEL_PROPERTY: Final = "vitrine_model"

FIELDS: Final = (
    FieldSpec("product_type_name", FieldType.TEXT, 128),
    FieldSpec("colour_group_name", FieldType.TEXT, 128),
    FieldSpec("price", FieldType.NUMBER),
)
"""Returned with each hit, beside title, group and picture: what a page of results shows."""
_TYPES: Final = ("Dress", "Skirt", "Top", "Trousers", "Sweater", "Jacket", "Shoes", "Bag")
_COLOURS: Final = ("Red", "Blue", "Green", "Black", "White", "Beige", "Light Pink", "Dark Grey")


def id_of(row: int) -> str:
    """A product's id, of ten digits as H&M's are."""
    return f"{row:010d}"


def served(precision: str) -> str:
    """The name of the collection that the gateways of a precision search."""
    return f"products_{precision}"


async def build_served(
    settings: MilvusSettings, precision: str, contract: ModelContract, vectors: Vectors, merge_s: float
) -> None:
    """A collection of the product's own kind with `INDEX`, in merged segments, not loaded. Replaces a namesake."""
    name = served(precision)
    async with await MilvusConnection.open(settings) as connection:
        admin = CollectionAdmin(connection)
        await admin.drop(name)
        # Of FLAT nothing is built: a graph would be built of small segments first, and again of merged ones.
        spec = CollectionSpec(name, contract.dimension, FIELDS, Flat(), contract.fingerprint, contract.model)
        info = await admin.create(spec)
        await admin.release(name)
        writer = CollectionWriter(connection, info)
        for start in range(0, len(vectors), _BATCH):
            await writer.upsert([_item(row, vectors[row]) for row in range(start, min(start + _BATCH, len(vectors)))])
        await writer.flush()
        await merge_segments(connection, name, merge_s)
        await replace_index(connection, name, INDEX)
        await admin.wait_index_built(name)
        await _keep(connection, name, {"vitrine_index": json.dumps(INDEX.describe())})


def _item(row: int, vector: Vectors) -> EmbeddedItem:
    fields = {
        "product_type_name": _TYPES[row % len(_TYPES)],
        "colour_group_name": _COLOURS[row // 7 % len(_COLOURS)],
        "price": 5.0 + row % 90,
    }
    item_id = id_of(row)
    title = f"{fields['product_type_name']} {row % 1_000}"
    item = CatalogueItem(item_id, Path("x"), f"images/{item_id[:3]}/{item_id}.jpg", title, item_id[:7], fields)
    return EmbeddedItem(item, vector)


def build_recipe(uri: str, vectors: Vectors, nlist: int, merge_s: float) -> None:
    """The recipe's collection: an id, a vector and IVF_PQ with m 8. Replaces one of that name; it stays unloaded."""
    client = MilvusClient(uri, timeout=CALL_TIMEOUT_S)
    try:
        if client.has_collection(RECIPE, timeout=CALL_TIMEOUT_S):
            client.drop_collection(RECIPE, timeout=CALL_TIMEOUT_S)
        schema = client.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
        client.create_collection(RECIPE, schema=schema, timeout=CALL_TIMEOUT_S)
        for start in range(0, len(vectors), _BATCH):
            rows = range(start, min(start + _BATCH, len(vectors)))
            client.insert(RECIPE, [{"id": row, "embedding": vectors[row]} for row in rows], timeout=CALL_TIMEOUT_S)
        client.flush(RECIPE, timeout=CALL_TIMEOUT_S)
        asyncio.run(_merged(uri, merge_s))
        params = client.prepare_index_params()
        params.add_index("embedding", "IVF_PQ", metric_type="IP", params={"nlist": nlist, "m": 8})
        client.create_index(RECIPE, params, timeout=LONGEST_S)  # waits for it
    finally:
        client.close()


async def _merged(uri: str, merge_s: float) -> None:
    async with await MilvusConnection.open(MilvusSettings(uri=uri)) as connection:
        await connection.client.create_index(RECIPE, _flat(connection), timeout=CALL_TIMEOUT_S)
        await merge_segments(connection, RECIPE, merge_s)
        await connection.client.drop_index(RECIPE, "embedding", timeout=CALL_TIMEOUT_S)


def _flat(connection: MilvusConnection) -> Any:
    """Milvus compacts only what has an index."""
    params = connection.client.prepare_index_params()
    params.add_index("embedding", "FLAT", metric_type="IP", params={})
    return params


async def load(connection: MilvusConnection, name: str) -> None:
    """Loads a collection and waits until searches use its index; a server that has just started may not know it yet.

    Raises:
        BenchError: it does not get to know it.
    """
    admin = CollectionAdmin(connection)
    for _ in range(int(KNOWN_S * 2)):
        try:
            await admin.load(name)
        except VitrineError:
            await asyncio.sleep(0.5)
        else:
            break
    else:
        raise BenchError(f"Milvus does not load {name!r}.")
    if name != RECIPE:
        await admin.wait_index_served(name)


async def release(settings: MilvusSettings, names: Sequence[str]) -> None:
    """Takes collections out of memory, so that the next start of the server does not load them by itself."""
    async with await MilvusConnection.open(settings) as connection:
        for name in names:
            try:
                await CollectionAdmin(connection).release(name)
            except CollectionNotFound:
                continue


async def adopt(connection: MilvusConnection, name: str, contract: ModelContract, ef: int) -> CollectionInfo:
    """Marks a loaded collection as one of this model, with this search setting.

    Its vectors are made up and belong to no model, so one that was exported anew may have them too: what would be wrong
    for a catalogue saves building the same index again.
    """
    admin = CollectionAdmin(connection)
    if (await admin.describe(name, counted=False)).fingerprint != contract.fingerprint:
        told = {FINGERPRINT_PARAMETER: contract.fingerprint, _MODEL_PROPERTY: contract.model}
        await _keep(connection, name, told)
    await admin.set_search_defaults(name, {"ef": ef})
    return await admin.describe(name)


async def _keep(connection: MilvusConnection, name: str, properties: Mapping[str, str]) -> None:
    for _ in range(2):  # Milvus 2.3.5 stores what stood before the last change (milvus #30144)
        await connection.client.alter_collection_properties(name, dict(properties), timeout=CALL_TIMEOUT_S)
