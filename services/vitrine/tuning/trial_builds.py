"""Copies of a collection with another index, for as long as they are tried.

Their names begin with `vitrine_trial_`. One that a killed process left behind is dropped by the next that makes any,
once it is older than a trial may last.
"""

import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Hit
from vitrine.errors import InternalError, VitrineError
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

PREFIX: Final = "vitrine_trial_"
LONGEST: Final = timedelta(hours=4)
"""No trial lasts longer; the limit of `--max-minutes`."""

_ROWS_PER_COPY: Final = 500
_DROP_TIMEOUT_S: Final = 30.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def trial_build(
    connection: MilvusConnection, source: CollectionInfo, index: IndexParams, deadline: Deadline, on_progress: Progress
) -> AsyncIterator[CollectionInfo]:
    """A copy of a collection with another index, loaded and searched by that index; dropped at the end of the block.

    It has every row, so that Milvus holds the vectors twice meanwhile.

    Args:
        connection: of the Milvus that has the collection.
        source: what is copied.
        index: of the copy.
        deadline: for all of the making.
        on_progress: told what is waited for, and the share done.

    Raises:
        InvalidInput: the server is too old for the index, or the index cannot hold the dimension.
        CollectionNotReady: the source is not loaded.
        VectorStoreUnavailable, DeadlineExceeded
    """
    admin = CollectionAdmin(connection)
    name = f"{PREFIX}{secrets.token_hex(6)}"
    spec = CollectionSpec(
        name=name,
        dimension=source.dimension,
        fields=source.fields,
        index=index,
        fingerprint=source.fingerprint,
        model=source.model,
        group_name=source.group_name,
    )
    try:
        made = await admin.create(spec, deadline=deadline)
        await _copy(connection, admin, source, made, deadline, on_progress)
        await admin.wait_index_built(name, deadline=deadline, on_progress=on_progress)
        # Loaded anew, its segments come with their index at once.
        await admin.release(name, deadline)
        await admin.load(name, deadline=deadline, on_progress=on_progress)
        await wait_searched_by_index(admin, made, deadline, on_progress)
        yield made
    finally:
        await _drop(admin, name)


async def wait_searched_by_index(
    admin: CollectionAdmin, info: CollectionInfo, deadline: Deadline, on_progress: Progress
) -> None:
    """Waits until searches use a collection's index; at once where it has none to build, as FLAT."""
    if info.index.search_names:
        await admin.wait_index_served(info.name, deadline=deadline, on_progress=on_progress)


async def drop_leftovers(admin: CollectionAdmin) -> list[str]:
    """Drops trial builds too old to be under way; their names."""
    oldest = datetime.now(UTC) - LONGEST
    stale = [
        info.name
        for info in await admin.list(counted=False)
        if info.name.startswith(PREFIX) and info.created_at < oldest and not info.aliases
    ]
    for name in stale:
        _log.info("dropping %s, which an earlier trial left behind", name)
        await _drop(admin, name)
    return stale


async def _copy(
    connection: MilvusConnection,
    admin: CollectionAdmin,
    source: CollectionInfo,
    made: CollectionInfo,
    deadline: Deadline,
    on_progress: Progress,
) -> None:
    writer, searcher = CollectionWriter(connection, made), VectorSearcher(connection)
    total, copied, ids = max(1, source.rows), 0, list[str]()

    async def write() -> int:
        found = await searcher.items_of(source.name, ids, deadline, fields=source.fields, with_vectors=True)
        return await writer.upsert([_item(hit) for hit in found.values()], deadline)

    async for item_id in admin.ids(source.name, deadline):
        ids.append(item_id)
        if len(ids) == _ROWS_PER_COPY:
            copied += await write()
            ids.clear()
            on_progress(f"copying {source.name}", min(1.0, copied / total))
    if ids:
        await write()
    await writer.flush()
    on_progress(f"copying {source.name}", 1.0)


def _item(hit: Hit) -> EmbeddedItem:
    if hit.vector is None:
        raise InternalError(f"Milvus gave no vector of {hit.id!r}.")
    item = CatalogueItem(hit.id, Path(hit.image_path), hit.image_path, hit.title, hit.group, hit.fields)
    return EmbeddedItem(item, hit.vector)


async def _drop(admin: CollectionAdmin, name: str) -> None:
    """Even when the trial's time is over; what cannot be dropped now is dropped by a later run."""
    try:
        await admin.drop(name, Deadline.after(_DROP_TIMEOUT_S))
    except VitrineError as error:
        _log.warning("%s could not be dropped: %s", name, error.message)
