"""Which collection a run fills that leaves the live one alone: a candidate, which `vitrine promote` may make live.

It may have another model, other fields and another index than the live one. A run that was interrupted goes on with the
collection it began; one that a run filled to its end is never touched by a later run that did not name it.
"""

import logging
from dataclasses import replace

from vitrine.errors import ContractMismatch, InvalidInput
from vitrine.indexer.target import (
    CollectionDiffers,
    CollectionInUse,
    Target,
    Wanted,
    make_collection,
    require_alias,
    require_no_bulk_files,
    require_same,
    version_of,
)
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo

_log = logging.getLogger(__name__)


async def open_candidate(admin: CollectionAdmin, wanted: Wanted, name: str, on_progress: Progress) -> Target:
    """Finds or makes the collection.

    Args:
        wanted: its `alias` is the one that the candidate is for.
        name: of the collection; empty: the one that an interrupted run began, else the alias' next version.

    Raises:
        CollectionInUse: the collection named is no candidate.
        ContractMismatch, CollectionDiffers: it was begun with another model, other fields or another index.
        InvalidInput: the name is an alias.
        VectorStoreUnavailable, DeadlineExceeded
    """
    require_alias(wanted.alias)
    if name:
        require_alias(name)
        begun = await _named(admin, wanted, name)
    else:
        begun, name = await _unfinished_or_next(admin, wanted)
    if begun is None:
        return Target(await make_collection(admin, wanted, name, on_progress), live=False, candidate=True)
    if not begun.loaded:
        await admin.load(begun.name, on_progress=on_progress)
    # Not finished from here on: half refilled it must not be promoted.
    lineage = replace(begun.lineage, alias=wanted.alias, finished_at=None)
    await admin.record_lineage(begun.name, lineage)
    return Target(replace(begun, lineage=lineage), live=False, candidate=True)


async def _named(admin: CollectionAdmin, wanted: Wanted, name: str) -> CollectionInfo | None:
    """The collection of that name if it can be filled; None when there is none (any more)."""
    if not await admin.exists(name):
        return None
    info = await admin.describe(name, counted=False)
    if info.name != name:
        raise InvalidInput(f"{name} is an alias, of {info.name}. Name a collection that is to be made.", alias=name)
    if not info.complete:
        await admin.drop(name)  # its creation was interrupted, so nothing was ever written into it
        return None
    await _require_unused(admin, wanted, info)
    require_same(info, wanted)
    require_no_bulk_files(info)
    return info


async def _require_unused(admin: CollectionAdmin, wanted: Wanted, info: CollectionInfo) -> None:
    if info.aliases:
        raise CollectionInUse(
            f"{info.name} is live behind {', '.join(info.aliases)}. Leave --into out to refill it in place.",
            collection=info.name,
            aliases=list(info.aliases),
        )
    if info.lineage.alias not in ("", wanted.alias):
        raise CollectionInUse(
            f"{info.name} was built for {info.lineage.alias}, not for {wanted.alias}.",
            collection=info.name,
            alias=info.lineage.alias,
        )
    live = await admin.alias_target(wanted.alias)
    replaced = "" if live is None else (await admin.describe(live, counted=False)).lineage.replaces
    if info.name == replaced or info.lineage.promoted_at is not None:
        raise CollectionInUse(
            f"{info.name} has been live behind {wanted.alias}: a rollback must find it as it was. "
            "Build under another name.",
            collection=info.name,
        )


async def _unfinished_or_next(admin: CollectionAdmin, wanted: Wanted) -> tuple[CollectionInfo | None, str]:
    versions = {
        version: info
        for info in await admin.list(counted=False)
        if (version := version_of(info.name, wanted.alias)) is not None
    }
    for _, info in sorted(versions.items(), reverse=True):
        if info.lineage.alias != wanted.alias or not _can_go_on(info):
            continue
        if info.bulk_source:  # files that a bulk import was given may still arrive, and would double what is upserted
            continue
        try:
            require_same(info, wanted)
        except (ContractMismatch, CollectionDiffers) as difference:
            _log.warning("%s is left over and cannot be filled further: %s", info.name, difference.message)
            continue
        _log.info("Going on with %s, which an earlier run did not finish.", info.name)
        return info, info.name
    return None, f"{wanted.alias}_v{max(versions, default=0) + 1}"


def _can_go_on(info: CollectionInfo) -> bool:
    """Whether an interrupted run began it and nobody else has a use for it: no reader, no bulk import, no rollback."""
    settled = info.lineage.finished_at is not None or info.lineage.promoted_at is not None
    return info.complete and not info.aliases and not info.bulk_source and not settled
