"""Which collection a run fills, and how it becomes what readers see.

Readers name an alias. The first run of an alias makes the collection `<alias>_v1` and points the alias at it once it is
complete; later runs refill the collection behind the alias. A run never mixes: another model, other fields or another
index than the collection has are refused before anything is written.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from vitrine.domain import FieldSpec
from vitrine.errors import ContractMismatch, InternalError, InvalidInput, VitrineError
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.index_params import IndexParams, parse_index
from vitrine.vectorstore.lineage import now

DEFAULT_INDEX = "hnsw"
MOST_VERSIONS = 10_000
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,199}")

_log = logging.getLogger(__name__)


class CollectionDiffers(InvalidInput):
    """The collection was made with other fields or another index than this run asks for."""

    code = "collection_differs"


class CollectionInUse(InvalidInput):
    """The collection named serves an alias, is what a rollback would go back to, or is filled by a bulk import."""

    code = "collection_in_use"


class IndexIncomplete(VitrineError):
    """Milvus holds fewer products than it acknowledged."""

    code = "index_incomplete"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run needs its collection to be.

    Args:
        alias: the name readers use.
        fields: of the catalogue.
        index: None: whatever the collection has, and the default for a new one.
        fingerprint: of the model.
        model: its name for people.
        group_name: what the catalogue calls its group column.
    """

    alias: str
    dimension: int
    fields: tuple[FieldSpec, ...]
    index: IndexParams | None
    fingerprint: str
    model: str
    group_name: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The collection to fill; `live` when the alias points at it already, a `candidate` when it shall not be moved."""

    info: CollectionInfo
    live: bool
    candidate: bool = False


async def open_target(admin: CollectionAdmin, wanted: Wanted, on_progress: Progress) -> Target:
    """Finds or makes the collection.

    Raises:
        ContractMismatch: the alias' collection was built with another model.
        CollectionDiffers: or with other fields or another index.
        CollectionInUse: or a bulk import into it was not finished.
        InvalidInput: the name is none, or belongs to something that is no alias.
        VectorStoreUnavailable, DeadlineExceeded
    """
    require_alias(wanted.alias)
    live = await admin.alias_target(wanted.alias)
    if live is not None:
        info = await admin.describe(live)
        require_same(info, wanted)
        require_no_bulk_files(info)
        if not info.loaded:
            await admin.load(info.name, on_progress=on_progress)
        return Target(info, live=True)
    if await admin.exists(wanted.alias):
        raise InvalidInput(
            f"{wanted.alias} is a collection, not an alias. Name an alias: the collection behind alias shop, for "
            "example, is called shop_v1."
        )
    return Target(await _unfinished(admin, wanted) or await _new(admin, wanted, on_progress), live=False)


def require_alias(name: str) -> None:
    """Raises InvalidInput: the name cannot be an alias."""
    if not _ALIAS.fullmatch(name):
        raise InvalidInput(f"{name!r} is no name for a collection: a letter, then letters, digits and _.")


def require_same(info: CollectionInfo, wanted: Wanted) -> None:
    """Refuses to mix.

    Raises:
        ContractMismatch, CollectionDiffers: see `open_target`.
    """
    if info.fingerprint != wanted.fingerprint:
        raise ContractMismatch(
            f"Collection {info.name} was built with model fingerprint {info.fingerprint}, this run would write "
            f"{wanted.fingerprint}. Build another one beside it with --new: one collection holds one model.",
            owner=info.name,
            expected=wanted.fingerprint,
            found=info.fingerprint,
        )
    differences = _field_differences(info.fields, wanted.fields)
    if differences:
        raise CollectionDiffers(
            f"Collection {info.name} has other fields than the mapping: {'; '.join(differences)}. "
            "Build another one beside it with --new.",
            collection=info.name,
        )
    if wanted.index is not None and not _same_index(info.index, wanted.index):
        raise CollectionDiffers(
            f"Collection {info.name} has the index {_index_text(info.index)}, not {_index_text(wanted.index)}. "
            "Leave --index out to refill it, or build another one beside it with --new.",
            collection=info.name,
        )


def require_no_bulk_files(info: CollectionInfo) -> None:
    """Raises CollectionInUse: Milvus may still import files into it, whose ids it compares with none that are there."""
    if info.awaits_bulk_files:
        raise CollectionInUse(
            f"A bulk import into {info.name} was begun and not finished. Run `vitrine bulk import` with the same files "
            "to its end first, or build another collection with --new.",
            collection=info.name,
        )


async def publish(
    admin: CollectionAdmin, target: Target, alias: str, *, expected: int, indexed_at: datetime | None
) -> int:
    """Counts with strong consistency and points the alias at a new collection, unless that is a candidate.

    Args:
        expected: rows that Milvus acknowledged, by the ledger.
        indexed_at: when the collection was completely up to date with its source; None: it is not.

    Returns:
        The rows Milvus holds. More than `expected` when others write into the collection too.

    Raises:
        IndexIncomplete: fewer than expected, or none at all in a new collection; the alias is not touched.
    """
    name = target.info.name
    rows = await admin.count(name)
    if rows < expected:
        raise IndexIncomplete(
            f"{name} holds {rows} products but acknowledged {expected}. Run again with --reindex to write all of them.",
            rows=rows,
            expected=expected,
        )
    if not target.live and rows == 0:
        raise IndexIncomplete(f"No product could be written; {alias} is not pointed at the empty {name}.")
    if target.live and indexed_at is None:
        return rows
    # Read anew: while it was filled, somebody may have made a candidate live by force.
    lineage = (await admin.describe(name, counted=False)).lineage
    if indexed_at is not None:
        lineage = replace(lineage, indexed_at=max(indexed_at, lineage.indexed_at or indexed_at))
    if target.live:
        await admin.record_lineage(name, lineage)
    else:
        finished = replace(lineage, alias=alias, finished_at=now(), rows=rows)
        if target.candidate:
            await admin.record_lineage(name, finished)
            _log.info("%s is finished. `vitrine promote %s --to %s` compares it and makes it live.", name, alias, name)
        else:
            await admin.record_lineage(name, replace(finished, promoted_at=finished.finished_at))
            await admin.point_alias(alias, name)
    return rows


async def _unfinished(admin: CollectionAdmin, wanted: Wanted) -> CollectionInfo | None:
    """The newest collection of this alias that an earlier run began and did not publish, if this run can go on."""
    versions = [
        (version, info)
        for info in await admin.list(counted=False)
        # Files that a bulk import was given may still arrive, and would double what is upserted.
        if not info.aliases and not info.bulk_source and (version := version_of(info.name, wanted.alias)) is not None
    ]
    for _, info in sorted(versions, key=lambda pair: pair[0], reverse=True):
        if not info.complete:
            # Its creation was interrupted, so nothing was ever written into it.
            _log.info("Dropping %s, whose creation was interrupted.", info.name)
            await admin.drop(info.name)
            continue
        try:
            require_same(info, wanted)
        except (ContractMismatch, CollectionDiffers) as difference:
            _log.warning("%s is left over and cannot be filled further: %s", info.name, difference.message)
            continue
        _log.info("Going on with %s, which an earlier run did not finish.", info.name)
        if not info.loaded:
            await admin.load(info.name)
        return info
    return None


async def _new(admin: CollectionAdmin, wanted: Wanted, on_progress: Progress) -> CollectionInfo:
    for number in range(1, MOST_VERSIONS):
        name = f"{wanted.alias}_v{number}"
        if not await admin.exists(name):
            return await make_collection(admin, wanted, name, on_progress)
    raise InternalError(f"There are {MOST_VERSIONS} collections of {wanted.alias}.")


async def make_collection(
    admin: CollectionAdmin, wanted: Wanted, name: str, on_progress: Progress, *, bulk_source: str = ""
) -> CollectionInfo:
    """Makes the collection that a run wants under a name, and notes which alias it is for.

    Args:
        bulk_source: digest of the bulk files that it is to be filled from; empty: of none.

    Raises:
        InvalidInput: the name is taken, or the server is too old for the index.
    """
    spec = CollectionSpec(
        name=name,
        dimension=wanted.dimension,
        fields=wanted.fields,
        index=wanted.index or parse_index(DEFAULT_INDEX, {}),
        fingerprint=wanted.fingerprint,
        model=wanted.model,
        group_name=wanted.group_name,
        bulk_source=bulk_source,
        alias=wanted.alias,
    )
    return await admin.create(spec, on_progress=on_progress)


def version_of(name: str, alias: str) -> int | None:
    """The number of `<alias>_v<number>`; None for other names."""
    match = re.fullmatch(re.escape(alias) + r"_v([1-9][0-9]{0,8})", name)
    return int(match[1]) if match else None


def _field_differences(has: Sequence[FieldSpec], wants: Sequence[FieldSpec]) -> list[str]:
    old = {field.name: field for field in has}
    new = {field.name: field for field in wants}
    missing = [f"{name} is not in the collection" for name in new.keys() - old.keys()]
    extra = [f"{name} is not in the mapping" for name in old.keys() - new.keys()]
    changed = [f"{name} was {old[name]}, is {new[name]}" for name in old.keys() & new.keys() if old[name] != new[name]]
    return sorted(missing + extra + changed)


def _same_index(one: IndexParams, other: IndexParams) -> bool:
    return one.index_type == other.index_type and one.build_params() == other.build_params()


def _index_text(index: IndexParams) -> str:
    parameters = ", ".join(f"{name}={value}" for name, value in index.build_params().items())
    return f"{index.index_type} ({parameters})" if parameters else index.index_type
