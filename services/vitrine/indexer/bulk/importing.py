"""Bulk files into a collection: jobs submitted and followed, rows reconciled, and only then anything published."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from vitrine.embedding.contract import CONTRACT_FILE, ModelContract
from vitrine.errors import VitrineError
from vitrine.indexer.bulk.checking import check_bulk_files
from vitrine.indexer.bulk.destination import Destination, open_destination
from vitrine.indexer.bulk.feeding import Feeding
from vitrine.indexer.bulk.manifest import BulkFilesInvalid, Manifest
from vitrine.indexer.bulk.marks import record_in_ledger
from vitrine.indexer.bulk.outcome import ImportReport
from vitrine.indexer.bulk.reconciling import compare_ids, wait_for_rows
from vitrine.indexer.control import RunControl, stopped_by_signals
from vitrine.indexer.display import Display
from vitrine.indexer.ledger import exclusive_lock
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.target import Target, Wanted, publish, require_alias
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.bulk_import import BulkImporter, bulk_importer
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.lineage import now
from vitrine.vectorstore.writer import CollectionWriter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import, and where to.

    Args:
        folder: of the bulk files.
        collection: the alias that the collection is for.
        into: name of the collection; empty: the alias' next version.
        storage_prefix: where Milvus finds the files; empty: at the folder's own absolute path.
        index: of a new collection; None: the default.
        check: look at every value first.
        compare_ids: list all ids afterwards and compare them with those in the files.
        publish: point the alias at the collection if there is no such alias yet.
    """

    folder: Path
    collection: str
    into: str = ""
    storage_prefix: str = ""
    index: IndexParams | None = None
    check: bool = True
    compare_ids: bool = False
    publish: bool = False

    def path_of(self, file: str) -> str:
        """The name Milvus gets for a file."""
        prefix = self.storage_prefix or str(self.folder.absolute())
        return f"{prefix.rstrip('/')}/{file}"


async def run_bulk_import(request: ImportRequest, settings: Settings, display: Display) -> ImportReport:
    """Imports everything, or says in the report why not; repeated, it goes on or begins anew by itself.

    Raises:
        VitrineError: it could not begin; nothing was made.
    """
    require_alias(request.collection)
    manifest = await _usable_files(request, settings, display)
    control = RunControl()
    with stopped_by_signals(control), _only_run_of(request, settings):
        async with _opened(settings) as (connection, importer):
            admin = CollectionAdmin(connection)
            wanted = _wanted(request, manifest)
            destination = await open_destination(admin, importer, wanted, manifest, request.into, display.waiting)
            run = _Import(request, manifest, destination, connection, admin, importer, control, display, settings)
            return await run.go()


class _Import:
    """One import with everything open."""

    def __init__(
        self,
        request: ImportRequest,
        manifest: Manifest,
        destination: Destination,
        connection: MilvusConnection,
        admin: CollectionAdmin,
        importer: BulkImporter,
        control: RunControl,
        display: Display,
        settings: Settings,
    ) -> None:
        self._settings = settings
        self._request = request
        self._manifest = manifest
        self._destination = destination
        self._connection = connection
        self._admin = admin
        self._control = control
        self._display = display
        self._feeding = Feeding(
            importer,
            destination.info.name,
            manifest,
            destination.jobs,
            request.path_of,
            patience_s=connection.settings.admin_timeout_s,
            control=control,
            on_progress=display.waiting,
        )
        self._report = ImportReport(destination.info.name, request.collection, already=destination.finished)

    async def go(self) -> ImportReport:
        """Imports, reconciles, publishes."""
        failure = None if self._destination.finished else await self._feed()
        self._tell(files=self._feeding.outcomes(), interrupted=self._control.reason)
        if failure is not None:
            return await self._failed(failure)
        if self._control.reason:
            return self._report
        began = time.monotonic()
        try:
            await self._finish()
        except VitrineError as error:
            self._tell(failure=error)
        return self._tell(finishing_s=time.monotonic() - began)

    async def _feed(self) -> VitrineError | None:
        began = time.monotonic()
        try:
            await self._feeding.run()
        except VitrineError as error:
            return error
        finally:
            self._tell(importing_s=time.monotonic() - began)
        return None

    async def _finish(self) -> None:
        """Index, memory, counts, and the alias when that was asked for."""
        name, waiting = self._destination.info.name, self._display.waiting
        if self._destination.finished:
            await self._admin.load(name, on_progress=waiting)
            self._tell(counted=await self._admin.count(name))
        else:
            await CollectionWriter(self._connection, self._destination.info).flush()
            await self._admin.wait_index_built(name, on_progress=waiting)
            await self._admin.load(name, on_progress=waiting)
            self._tell(counted=await wait_for_rows(self._admin, name, self._manifest.rows, waiting))
            await self._admin.wait_index_built(name, on_progress=waiting)
            await self._record()
            if self._request.compare_ids:
                await compare_ids(self._admin, name, self._request.folder, self._manifest)
                self._tell(ids_compared=True)
        await self._publish(name)

    async def _record(self) -> None:
        """A ledger that cannot be written costs work later on and makes no row wrong."""
        folder, info = self._request.folder, self._destination.info
        try:
            recorded = await asyncio.to_thread(record_in_ledger, folder, self._manifest, info, self._settings)
            self._tell(recorded=recorded)
        except (VitrineError, OSError, ValueError) as error:
            _log.warning("The ledger of %s could not be written: %s", info.name, error)

    async def _publish(self, name: str) -> None:
        """Notes that the collection is finished; the alias is made, never moved."""
        alias, info = self._request.collection, self._destination.info
        live = await self._admin.alias_target(alias)
        # Files that were imported before make nothing newer.
        fresh = None if self._destination.finished else now()
        if live == name:
            lineage = replace(info.lineage, alias=alias, finished_at=now(), rows=self._manifest.rows)
            await self._admin.record_lineage(name, replace(lineage, indexed_at=fresh or lineage.indexed_at))
            return
        makes_alias = self._request.publish and live is None
        if makes_alias or not self._destination.finished:
            target = Target(info, live=False, candidate=not makes_alias)
            await publish(self._admin, target, alias, expected=self._manifest.rows, indexed_at=fresh)
        self._tell(published=makes_alias)
        if self._request.publish and live is not None:
            _log.warning("%s points at %s already; `vitrine promote` moves it.", alias, live)

    async def _failed(self, error: VitrineError) -> ImportReport:
        """A failed job dooms the collection; Milvus staying away does not: the same command goes on later."""
        name = self._destination.info.name
        if self._feeding.failed and self._destination.may_be_dropped:
            try:
                await self._admin.drop(name)
                self._tell(dropped=True)
                _log.warning("%s is half made and was dropped.", name)
            except VitrineError as another:
                _log.warning("%s is half made and could not be dropped; the next run does: %s", name, another.message)
        elif self._feeding.failed:
            _log.warning("%s is half made, but an alias points at it: it is left to you.", name)
        return self._tell(failure=error)

    def _tell(self, **figures: object) -> ImportReport:
        self._report = replace(self._report, **figures)  # type: ignore[arg-type]
        return self._report


async def _usable_files(request: ImportRequest, settings: Settings, display: Display) -> Manifest:
    """Raises BulkFilesInvalid, ContractMismatch: these files shall not be imported."""
    manifest = await asyncio.to_thread(Manifest.read_from, request.folder)
    if not manifest.rows:
        raise BulkFilesInvalid(f"{request.folder} holds no rows: there is nothing to import.")
    repository = settings.model.repository
    if (repository / CONTRACT_FILE).is_file():
        contract = await asyncio.to_thread(ModelContract.load, repository)
        contract.require(manifest.fingerprint, f"The bulk files in {request.folder}")
    if request.check:
        report = await asyncio.to_thread(check_bulk_files, request.folder, display.waiting)
        if not report.good:
            first = report.problems[0]
            raise BulkFilesInvalid(
                f"{request.folder} has {len(report.problems)} problems, the first: {first.place}: {first.message}. "
                "`vitrine bulk check` lists them.",
                problems=len(report.problems),
            )
    return manifest


def _wanted(request: ImportRequest, manifest: Manifest) -> Wanted:
    return Wanted(
        alias=request.collection,
        dimension=manifest.dimension,
        fields=manifest.fields,
        index=request.index,
        fingerprint=manifest.fingerprint,
        model=manifest.model,
        group_name=manifest.group_name,
    )


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[MilvusConnection, BulkImporter]]:
    async with await MilvusConnection.open(settings.milvus) as connection, bulk_importer(connection) as importer:
        yield connection, importer


@contextmanager
def _only_run_of(request: ImportRequest, settings: Settings) -> Iterator[None]:
    """The locks of `vitrine index --new` and `--into`: one of both fills a collection at a time on this machine."""
    lock = LedgerFolder.of(settings).lock(request.into or f"{request.collection}.new")
    descriptor = exclusive_lock(lock)
    try:
        yield
    finally:
        os.close(descriptor)
