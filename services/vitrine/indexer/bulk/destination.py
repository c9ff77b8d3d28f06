"""Which collection a bulk import fills. Milvus does not compare ids when it imports, so it must hold nothing else.

A collection notes the digest of the files it is being filled from. A repeated run finds it by that, on any machine, and
learns from the server's own jobs what has arrived; where that does not add up, it is dropped and begun anew.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from vitrine.errors import InvalidInput
from vitrine.indexer.bulk.manifest import Manifest
from vitrine.indexer.target import CollectionDiffers, Wanted, make_collection, require_alias, require_same, version_of
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.bulk_import import BulkImporter, ImportJob, JobState
from vitrine.vectorstore.collection import CollectionInfo

# A server forgets ended jobs (2.6 after three hours): an older collection's file without a job may have been imported.
JOBS_REMEMBERED = timedelta(hours=2)

_log = logging.getLogger(__name__)


class CollectionNotEmpty(InvalidInput):
    """Importing into it would double ids: nothing is replaced."""

    code = "collection_not_empty"


@dataclass(frozen=True, slots=True)
class Destination:
    """The collection to fill.

    Args:
        jobs: of an earlier run, by the name of their file: running or done.
        finished: an earlier run imported everything.
    """

    info: CollectionInfo
    jobs: Mapping[str, ImportJob]
    finished: bool = False

    @property
    def may_be_dropped(self) -> bool:
        """Whether nobody searches it."""
        return not self.info.aliases


async def open_destination(
    admin: CollectionAdmin, importer: BulkImporter, wanted: Wanted, manifest: Manifest, into: str, on_progress: Progress
) -> Destination:
    """Finds the collection that an earlier run began or finished with these files, or makes one.

    Args:
        wanted: its `alias` is the one that the collection is for.
        into: name of the collection; empty: the alias' next version.

    Raises:
        CollectionNotEmpty: the collection named holds rows.
        ContractMismatch, CollectionDiffers: or is of another model, other fields or another index.
        InvalidInput: a name is none, or of the wrong kind.
        VectorStoreUnavailable, DeadlineExceeded
    """
    require_alias(wanted.alias)
    if await admin.exists(wanted.alias) and await admin.alias_target(wanted.alias) is None:
        raise InvalidInput(f"{wanted.alias} is a collection, not an alias. Name an alias.", alias=wanted.alias)
    if into:
        require_alias(into)
        found, name = await _named(admin, wanted, manifest, into), into
    else:
        found, name = await _begun_or_next(admin, wanted, manifest)
    if found is not None:
        destination = await _resumed(admin, importer, found, manifest)
        if destination is not None:
            return destination
    if found is None or not await admin.exists(name):
        found = await make_collection(admin, wanted, name, on_progress, bulk_source=manifest.digest)
    else:
        # An empty collection that was finished once: first, so that this import is never taken for the one that did it.
        found = replace(found, lineage=replace(found.lineage, finished_at=None, rows=0))
        await admin.record_lineage(name, found.lineage)
        await admin.record_bulk_source(name, manifest.digest)
    if not found.aliases:
        # Segments are taken into memory once, with their index, when all are there.
        await admin.release(name)
    return Destination(replace(found, bulk_source=manifest.digest), {})


async def _named(admin: CollectionAdmin, wanted: Wanted, manifest: Manifest, name: str) -> CollectionInfo | None:
    """The collection of that name, if these files can go there; None when there is none (any more)."""
    if not await admin.exists(name):
        return None
    info = await admin.describe(name, counted=False)
    if info.name != name:
        raise InvalidInput(f"{name} is an alias, of {info.name}. Name a collection.", alias=name)
    if not info.complete:
        await admin.drop(name)  # its creation was interrupted, so nothing was ever written into it
        return None
    require_same(info, wanted)
    if info.bulk_source == manifest.digest:
        return info
    if not info.loaded:
        await admin.load(name)
    rows = await admin.count(name)
    if rows:
        raise CollectionNotEmpty(
            f"{name} holds {rows} rows, and a bulk import replaces none: ids would be doubled. Leave --into out to "
            "fill a new collection.",
            collection=name,
            rows=rows,
        )
    return info


async def _begun_or_next(
    admin: CollectionAdmin, wanted: Wanted, manifest: Manifest
) -> tuple[CollectionInfo | None, str]:
    versions: dict[int, CollectionInfo] = {}
    for info in await admin.list(counted=False):
        version = version_of(info.name, wanted.alias)
        if version is not None:
            versions[version] = info
    for _, info in sorted(versions.items(), reverse=True):
        if info.bulk_source != manifest.digest:
            continue
        if not info.complete:
            await admin.drop(info.name)  # its creation was interrupted, so nothing was ever written into it
            return None, info.name
        try:
            require_same(info, wanted)
        except CollectionDiffers as difference:  # the same files, for another index
            _log.info("%s", difference.message)
            continue
        return info, info.name
    return None, f"{wanted.alias}_v{max(versions, default=0) + 1}"


async def _resumed(
    admin: CollectionAdmin, importer: BulkImporter, info: CollectionInfo, manifest: Manifest
) -> Destination | None:
    """What an earlier run left; None: the collection is empty, or was dropped because what it holds is not known."""
    if info.bulk_source != manifest.digest:
        return None
    if info.lineage.finished_at is not None:
        return Destination(info, {}, finished=True)
    jobs = {PurePosixPath(job.file).name: job for job in await importer.jobs_of(info.name)}
    doubt = _doubt(info, jobs, manifest)
    if not doubt:
        _log.info("Going on with %s: %d of %d files were submitted.", info.name, len(jobs), len(manifest.files))
        return Destination(info, jobs)
    if info.aliases:
        raise CollectionNotEmpty(
            f"{info.name} was half filled by an earlier import, and {doubt}. It is behind {', '.join(info.aliases)} "
            "and is not dropped: import into a new collection (leave --into out) and promote that.",
            collection=info.name,
        )
    _log.warning("Dropping %s and beginning anew: %s.", info.name, doubt)
    await admin.drop(info.name)
    return None


def _doubt(info: CollectionInfo, jobs: Mapping[str, ImportJob], manifest: Manifest) -> str:
    """Why what an earlier run left cannot be gone on with; empty when it can."""
    expected = {file.name: file.rows for file in manifest.files}
    for name, job in jobs.items():
        if name not in expected:
            return f"a job imported {job.file or 'a file that the server does not name'}"
        if job.state is JobState.FAILED:
            return f"its job for {name} failed: {job.reason}"
        if job.state is JobState.DONE and job.rows != expected[name]:
            return f"its job for {name} imported {job.rows} of {expected[name]} rows"
    if len(jobs) < len(expected) and datetime.now(UTC) - info.created_at > JOBS_REMEMBERED:
        return "it is so old that the server may have forgotten jobs"
    return ""
