"""Collects what is known of one product, from the ledgers, Milvus and the catalogue; changes nothing."""

import asyncio
from pathlib import Path

from vitrine.domain import Deadline
from vitrine.embedding.contract import ImagePolicy
from vitrine.errors import CollectionNotReady, InvalidInput
from vitrine.indexer.catalogue import Catalogue, CatalogueRow
from vitrine.indexer.diagnosis.why import (
    Answer,
    CatalogueLine,
    Facts,
    InCatalogue,
    InLedger,
    InMilvus,
    PictureState,
    judge,
)
from vitrine.indexer.ledger import RunNote
from vitrine.indexer.ledger_files import LedgerFolder
from vitrine.indexer.ledger_schema import LedgerInvalid
from vitrine.indexer.ledger_view import LedgerView
from vitrine.indexer.loading import Loader
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.report import IndexStage, StageTimes
from vitrine.indexer.states import Prepared
from vitrine.settings import ImageSettings, Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.presence import rows_of
from vitrine.vectorstore.searcher import VectorSearcher

MOST_LINES = 20


async def explain(
    product_id: str,
    name: str,
    settings: Settings,
    *,
    catalogue: Path | None = None,
    mapping: str = "hm",
    ledger: Path | None = None,
) -> Answer:
    """Looks everywhere for one product.

    Args:
        product_id: as it is in the collection; with a catalogue whose ids have a fixed number of digits, leading zeros
            may be left out.
        name: an alias, or a collection's own name.
        catalogue: its folder; None: the catalogue is not looked at.
        mapping: of the catalogue.
        ledger: the ledger, or the folder with the ledgers; None: the folder in the state folder.

    Raises:
        InvalidInput: no id can look like that.
        CatalogueInvalid: the catalogue cannot be opened.
        CollectionNotFound, VectorStoreUnavailable, DeadlineExceeded
    """
    opened = None if catalogue is None else await asyncio.to_thread(Catalogue, catalogue, load_mapping(mapping))
    if opened is not None:
        product_id = _with_zeros(product_id, opened)
    if not product_id:
        raise InvalidInput("Name a product's id.")
    async with await MilvusConnection.open(settings.milvus) as connection:
        info = await CollectionAdmin(connection).describe(name, counted=False)
        milvus = await _in_milvus(connection, info, product_id)
    _, files = await asyncio.to_thread(LedgerFolder.locate, settings, ledger, info.name)
    found = await asyncio.to_thread(_in_ledgers, files, info, product_id)
    written = {one.entry.content_hash for one in found}
    now = None
    if opened is not None:
        now = await asyncio.to_thread(_in_catalogue, opened, product_id, info.fingerprint, written, settings.images)
    alias = name if name != info.name else info.lineage.alias or name
    facts = Facts(product_id, alias, info.name, found, milvus, now)
    return Answer(facts, judge(facts))


async def _in_milvus(connection: MilvusConnection, info: CollectionInfo, product_id: str) -> InMilvus | None:
    deadline = Deadline.after(2 * connection.settings.search_timeout_s)
    look_up = VectorSearcher(connection).items_of(info.name, [product_id], deadline, strong=True)
    try:
        rows, hits = await asyncio.gather(rows_of(connection, info.name, product_id, deadline), look_up)
    except CollectionNotReady:
        return None
    hit = hits.get(product_id)
    return InMilvus(rows) if hit is None else InMilvus(rows, hit.title, hit.image_path)


def _in_ledgers(files: list[Path], info: CollectionInfo, product_id: str) -> list[InLedger]:
    found: list[InLedger] = []
    for path in files:
        try:
            with LedgerView(path) as view:
                entry = view.entry(product_id)
                if entry is None or view.build_id != info.build_id:
                    continue
                runs = view.runs(1)
                note = runs[0].note if runs else RunNote("FOLDER", "hm")
                found.append(InLedger(str(path), entry, entry.run < view.last_complete_run(), note))
        except LedgerInvalid:
            continue  # `index status` tells of it
    return found


def _in_catalogue(
    catalogue: Catalogue, product_id: str, fingerprint: str, written: set[bytes | None], limits: ImageSettings
) -> InCatalogue:
    lines: list[CatalogueLine] = []
    picture: PictureState | None = None
    # Whether a picture can be decoded does not depend on the model's policy, nor does the hash of its content.
    times = StageTimes(dict.fromkeys((IndexStage.READ, IndexStage.DECODE), 1))
    loader = Loader(catalogue.folder, fingerprint=fingerprint, policy=ImagePolicy(), limits=limits, times=times)
    for row in catalogue.rows():
        if len(lines) == MOST_LINES:
            break
        if isinstance(row, Rejection):
            if row.id and _with_zeros(row.id, catalogue) == product_id:
                lines.append(CatalogueLine(row.line, row.image, row.code, row.message))
        elif row.item.id == product_id:
            line, picture = _look_at(row, loader, written)
            lines.insert(0, line)
    return InCatalogue(str(catalogue.path), lines, picture)


def _look_at(row: CatalogueRow, loader: Loader, written: set[bytes | None]) -> tuple[CatalogueLine, PictureState]:
    loaded = loader.load(row, None)
    if isinstance(loaded, Prepared):
        known = written - {None}
        state = PictureState.CHANGED if known else PictureState.NEW
        if loaded.mark.content_hash in known:
            state = PictureState.SAME
        return CatalogueLine(row.line, row.item.image_path), state
    if isinstance(loaded, Rejection):
        return CatalogueLine(row.line, row.item.image_path, loaded.code, loaded.message), PictureState.REJECTED
    return CatalogueLine(row.line, row.item.image_path), PictureState.SAME


def _with_zeros(product_id: str, catalogue: Catalogue) -> str:
    digits = catalogue.mapping.id.digits
    plain = product_id.strip()
    return plain.zfill(digits) if digits is not None and plain.isascii() and plain.isdigit() else plain
