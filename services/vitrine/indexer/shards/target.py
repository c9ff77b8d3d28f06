"""Which collection the shards of a catalogue fill together: the first to come makes it, the others join."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from vitrine.domain import Deadline
from vitrine.errors import CollectionNotFound, ContractMismatch, DeadlineExceeded, InvalidInput
from vitrine.indexer.candidate import open_candidate
from vitrine.indexer.shards.sharding import Shard
from vitrine.indexer.target import (
    CollectionDiffers,
    Target,
    Wanted,
    make_collection,
    open_target,
    require_same,
    version_of,
)
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo

JOIN_TIMEOUT_S = 600.0
POLL_S = 1.0
# A collection that is still half-made after this long was begun by a process that died. Making one takes seconds.
HALF_MADE_S = 60.0
# Shards give up on a half-made collection one after the other, so that only one of them drops it.
APART_S = 5.0

_log = logging.getLogger(__name__)


async def join_target(
    admin: CollectionAdmin, wanted: Wanted, shard: Shard, into: str | None, on_progress: Progress
) -> Target:
    """Finds the collection, makes it, or waits until another shard has made it.

    Args:
        wanted: as of an undivided run.
        shard: whose turn it is.
        into: a candidate's name; None: the collection behind the alias, or the alias' first one.

    Raises:
        ContractMismatch, CollectionDiffers, CollectionInUse: as of an undivided run.
        DeadlineExceeded: another shard did not finish making it.
        VectorStoreUnavailable
    """
    if into is None and await admin.exists(wanted.alias):
        return await open_target(admin, wanted, on_progress)
    until = Deadline.after(JOIN_TIMEOUT_S)
    while True:
        name = into or await _first_name(admin, wanted)
        info = await _described(admin, name)
        if info is not None and info.complete:
            return await _joined(admin, wanted, info, on_progress, candidate=into is not None)
        if info is None:
            try:
                made = await make_collection(admin, wanted, name, on_progress)
                return Target(made, live=False, candidate=into is not None)
            except InvalidInput as error:
                if await _described(admin, name) is None:
                    raise  # nobody else is making it: the request itself cannot be met
                _log.info("Another shard is making %s: %s", name, error.message)
        else:
            await _drop_if_abandoned(admin, info, shard)
        on_progress(f"waiting for {name}", 0.0)
        try:
            await asyncio.sleep(min(POLL_S, until.remaining()))
        except DeadlineExceeded as error:
            raise DeadlineExceeded(f"No shard finished making {name}.", collection=name) from error


async def _first_name(admin: CollectionAdmin, wanted: Wanted) -> str:
    """The collection that the alias' first fill began, or a new name; all shards come to the same answer."""
    versions = {
        version: info
        for info in await admin.list(counted=False)
        if (version := version_of(info.name, wanted.alias)) is not None
    }
    for _, info in sorted(versions.items(), reverse=True):
        if info.aliases or info.bulk_source:  # of a bulk import more files may arrive
            continue
        try:
            require_same(info, wanted)
        except (ContractMismatch, CollectionDiffers) as difference:
            _log.warning("%s is left over and cannot be filled further: %s", info.name, difference.message)
            continue
        return info.name
    return f"{wanted.alias}_v{max(versions, default=0) + 1}"


async def _joined(
    admin: CollectionAdmin, wanted: Wanted, info: CollectionInfo, on_progress: Progress, *, candidate: bool
) -> Target:
    if candidate:
        return await open_candidate(admin, wanted, info.name, on_progress)
    require_same(info, wanted)
    if not info.loaded:
        await admin.load(info.name, on_progress=on_progress)
    return Target(info, live=False)


async def _described(admin: CollectionAdmin, name: str) -> CollectionInfo | None:
    try:
        return await admin.describe(name, counted=False)
    except CollectionNotFound:
        return None


async def _drop_if_abandoned(admin: CollectionAdmin, info: CollectionInfo, shard: Shard) -> None:
    patience = timedelta(seconds=HALF_MADE_S + APART_S * shard.number)
    if datetime.now(UTC) - info.created_at < patience:
        return
    # Somebody else may have dropped it and begun anew since.
    again = await _described(admin, info.name)
    if again is not None and not again.complete and again.created_at == info.created_at:
        _log.warning("Dropping %s, whose creation was interrupted.", info.name)
        await admin.drop(info.name)
