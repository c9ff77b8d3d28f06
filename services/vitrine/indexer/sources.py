"""The two places products come from: a catalogue, through the model, or embeddings kept from an earlier run."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

from vitrine.domain import Deadline
from vitrine.embedding.contract import CONTRACT_FILE, ModelContract
from vitrine.embedding.encoder import Encoder, open_encoder
from vitrine.indexer.backfill import Backfill, KeptEmbeddings
from vitrine.indexer.catalogue import Catalogue, CatalogueRow
from vitrine.indexer.control import RunControl
from vitrine.indexer.intake import Intake, Lookup
from vitrine.indexer.kept import KeptHeader
from vitrine.indexer.loading import Loader
from vitrine.indexer.outcomes import Outcomes
from vitrine.indexer.pipeline import Pipeline
from vitrine.indexer.priority import lower_session, lower_thread
from vitrine.indexer.rejections import Rejection
from vitrine.indexer.report import StageTimes, Tally
from vitrine.indexer.retry import Backoff
from vitrine.indexer.shards.sharding import WHOLE, OwnRows, Shard
from vitrine.indexer.sink import Drain
from vitrine.indexer.states import Embedded
from vitrine.settings import Settings

FIRST_ANSWER = Backoff(attempts=3)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunParts:
    """What both kinds of run are put together from, once the collection is open."""

    lookup: Lookup
    outcomes: Outcomes
    sink: Drain
    tally: Tally
    times: StageTimes
    control: RunControl
    bookkeeping: Executor


class Runnable(Protocol):
    """`Pipeline` and `Backfill`."""

    async def run(self) -> None:
        """Runs to its end, or to an orderly stop."""


class Source(Protocol):
    """`CatalogueSource` and `KeptSource`.

    Attributes:
        header: model and fields of everything it yields.
        total: about how many products there are.
        path: where they are read from.
        elsewhere: records read so far that other shards answer for.
    """

    @property
    def path(self) -> Path: ...

    @property
    def elsewhere(self) -> int: ...

    @property
    def header(self) -> KeptHeader: ...

    @property
    def total(self) -> int: ...

    def ignored(self) -> Mapping[str, int]:
        """Lines read so far that are no products, by reason."""

    def runner(self, parts: RunParts) -> Runnable:
        """The run over this source. Once only."""


class CatalogueSource:
    """Pictures of a catalogue, through Triton."""

    def __init__(
        self,
        catalogue: Catalogue,
        encoder: Encoder,
        settings: Settings,
        decode_pool: ThreadPoolExecutor,
        *,
        total: int,
        limit: int | None,
        compare_contents: bool,
        shard: Shard = WHOLE,
    ) -> None:
        mapping, contract = catalogue.mapping, encoder.contract
        self.path = catalogue.path
        self.header = KeptHeader(
            fingerprint=contract.fingerprint,
            model=contract.model,
            dimension=contract.dimension,
            fields=catalogue.fields,
            mapping=mapping.name,
            mapping_digest=mapping.digest,
            group_name="" if mapping.group is None else mapping.group.column,
        )
        self.total = total
        self._catalogue = catalogue
        self._encoder = encoder
        self._settings = settings
        self._decode_pool = decode_pool
        self._compare_contents = compare_contents
        self._rows = OwnRows(islice(catalogue.rows(remember=shard.owns), limit), _place_of_row, shard)

    @property
    def elsewhere(self) -> int:
        return self._rows.elsewhere

    def ignored(self) -> Mapping[str, int]:
        return {"blank_line": self._catalogue.blank_lines}

    def runner(self, parts: RunParts) -> Pipeline:
        indexer, images = self._settings.indexer, self._settings.images
        loader = Loader(
            self._catalogue.folder,
            fingerprint=self.header.fingerprint,
            policy=self._encoder.contract.image,
            limits=images,
            times=parts.times,
            compare_contents=self._compare_contents,
        )
        intake = Intake(
            self._rows,
            loader,
            parts.lookup,
            parts.outcomes,
            parts.tally,
            parts.times,
            parts.control,
            bookkeeping=parts.bookkeeping,
            decode_pool=self._decode_pool,
            decode_threads=images.decode_threads,
            max_per_s=indexer.max_products_per_s,
        )
        return Pipeline(
            intake,
            self._encoder,
            parts.sink,
            parts.outcomes,
            parts.tally,
            parts.times,
            parts.control,
            batch_size=indexer.batch_size,
            in_flight=indexer.in_flight,
            call_timeout_s=indexer.encode_timeout_s,
            backoff=Backoff(indexer.encode_attempts),
        )


class KeptSource:
    """Embeddings from Parquet."""

    def __init__(self, folder: Path, kept: KeptEmbeddings, *, limit: int | None, shard: Shard = WHOLE) -> None:
        self.header = kept.header
        self.path = folder
        self.total = (len(kept) if limit is None else min(limit, len(kept))) // shard.count
        self._kept = kept
        self._rows = OwnRows(islice(kept.rows(), limit), _place_of_vector, shard)

    @property
    def elsewhere(self) -> int:
        return self._rows.elsewhere

    def ignored(self) -> Mapping[str, int]:
        return {"superseded_row": self._kept.superseded}

    def runner(self, parts: RunParts) -> Backfill:
        return Backfill(
            self._rows,
            parts.lookup,
            parts.sink,
            parts.outcomes,
            parts.tally,
            parts.times,
            parts.control,
            bookkeeping=parts.bookkeeping,
        )


@asynccontextmanager
async def open_catalogue_source(
    catalogue: Catalogue,
    settings: Settings,
    control: RunControl,
    *,
    limit: int | None,
    compare_contents: bool,
    shard: Shard = WHOLE,
) -> AsyncIterator[CatalogueSource]:
    """Opens the model beside a catalogue.

    Raises:
        ModelInvalid: the model repository cannot be read.
        ContractMismatch: Triton serves another model.
        EncoderUnavailable, DeadlineExceeded: Triton does not answer.
    """
    lines = await asyncio.to_thread(catalogue.estimated_rows)
    total = (lines if limit is None else min(limit, lines)) // shard.count
    # A query must be answered in a moment; a batch of pictures on a CPU may take its time.
    patient = settings.triton.model_copy(update={"timeout_s": settings.indexer.encode_timeout_s})
    threads = settings.images.decode_threads
    async with open_encoder(settings.model_copy(update={"triton": patient})) as encoder:
        await FIRST_ANSWER.run(
            "Asking Triton for its models",
            lambda: encoder.check_contract(Deadline.after(settings.triton.control_timeout_s)),
            control.stopping,
        )
        # These threads give way; within the session the loop that talks to Triton and Milvus does not.
        lower_session(settings.indexer.niceness)
        lowered = partial(lower_thread, settings.indexer.niceness)
        with ThreadPoolExecutor(threads, thread_name_prefix="decode", initializer=lowered) as decode_pool:
            yield CatalogueSource(
                catalogue,
                encoder,
                settings,
                decode_pool,
                total=total,
                limit=limit,
                compare_contents=compare_contents,
                shard=shard,
            )


async def open_kept_source(folder: Path, settings: Settings, *, limit: int | None, shard: Shard = WHOLE) -> KeptSource:
    """Opens kept embeddings. Where a model repository is configured and there, it must be the one that made them.

    Raises:
        KeptEmbeddingsInvalid: no kept embeddings in that folder.
        ModelInvalid: a model repository is there but cannot be read.
        ContractMismatch: it is of another model.
    """
    kept = await asyncio.to_thread(KeptEmbeddings, folder)
    repository = settings.model.repository
    if (repository / CONTRACT_FILE).is_file():
        contract = await asyncio.to_thread(ModelContract.load, repository)
        contract.require(kept.header.fingerprint, f"The kept embeddings in {folder}")
    else:
        _log.warning("There is no model repository at %s to compare the kept embeddings with.", repository)
    return KeptSource(folder, kept, limit=limit, shard=shard)


def _place_of_row(row: CatalogueRow | Rejection) -> tuple[str, int]:
    return (row.item.id if isinstance(row, CatalogueRow) else row.id), row.line


def _place_of_vector(row: Embedded | Rejection) -> tuple[str, int]:
    return (row.mark.id, row.mark.line) if isinstance(row, Embedded) else (row.id, row.line)
