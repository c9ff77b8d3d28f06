"""A dry run: reads and decodes a whole catalogue, asks no engine, and says what would be rejected and what is there."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from vitrine.embedding.contract import ImagePolicy
from vitrine.errors import InvalidInput, LimitExceeded, VitrineError
from vitrine.indexer.catalogue import Catalogue, CatalogueRow
from vitrine.indexer.checking.profile import CatalogueProfile
from vitrine.indexer.checking.report import CheckReport
from vitrine.indexer.checking.unnamed import NamedPictures, UnnamedPictures
from vitrine.indexer.control import RunControl, stopped_by_signals
from vitrine.indexer.display import Display, followed
from vitrine.indexer.loading import Loader
from vitrine.indexer.mapping import load_mapping
from vitrine.indexer.rejections import Rejection, RejectsFile
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.settings import ImageSettings

CHUNK = 128
"""Rows looked at together. The examples are the first of the file because a chunk is finished before the next."""

_EXAMPLES = 5


class CatalogueUnusable(InvalidInput):
    """The catalogue can be read, but not one of its records can be indexed."""

    code = "catalogue_unusable"


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What shall be checked.

    Args:
        folder: the catalogue's.
        mapping: name of a mapping that ships, or a file.
        decode: decode pictures; otherwise only see whether they are there.
        limit: only this many records; pictures that no row names are then not looked for.
        rejects: where to list rejections; None: only the first of each kind are told.
        max_rejects: more than this many are a failure; None: any number is fine while one record is usable.
    """

    folder: Path
    mapping: str = "hm"
    decode: bool = True
    limit: int | None = None
    rejects: Path | None = None
    max_rejects: int | None = None


async def check_catalogue(request: CheckRequest, images: ImageSettings, display: Display) -> CheckReport:
    """Takes a catalogue through everything that needs neither Triton nor Milvus.

    Returns:
        A report. Its `failure` is CatalogueUnusable when no record is usable, LimitExceeded when too many are not,
        CatalogueInvalid when the file could not be read to its end.

    Raises:
        CatalogueInvalid: the catalogue cannot be opened.
        InvalidInput: the rejects file cannot be written.
    """
    catalogue = Catalogue(request.folder, load_mapping(request.mapping))
    total = await asyncio.to_thread(catalogue.estimated_rows)
    total = total if request.limit is None else min(request.limit, total)
    control, began = RunControl(), time.monotonic()
    with _open_rejects(request.rejects) as rejects, stopped_by_signals(control):
        check = _Check(catalogue, request, images, rejects)
        unnamed: UnnamedPictures | None = None
        failure: VitrineError | None = None
        try:
            async with followed(display, check.tally, total):
                await check.run(control)
            if request.limit is None and not control.stopping.is_set():
                unnamed = await check.unnamed(control, display)
        except VitrineError as error:
            failure = error
        check.close_rejects()
    return check.report(unnamed, failure or check.verdict(control), control.reason, time.monotonic() - began)


class _Check:
    """One reading of a catalogue, and what came of it."""

    def __init__(
        self, catalogue: Catalogue, request: CheckRequest, images: ImageSettings, rejects: RejectsFile | None
    ) -> None:
        self.tally = Tally()
        self._catalogue = catalogue
        self._request = request
        self._threads = images.decode_threads
        self._rejects = rejects
        self._unwritable: InvalidInput | None = None
        self._profile = CatalogueProfile(catalogue)
        self._named = NamedPictures(catalogue.folder)
        self._examples: dict[str, list[Rejection]] = {}
        # What is rejected does not depend on a model: every policy decodes the same files.
        times = StageTimes(dict.fromkeys((IndexStage.READ, IndexStage.DECODE), self._threads))
        self._loader = Loader(catalogue.folder, fingerprint="", policy=ImagePolicy(), limits=images, times=times)

    async def run(self, control: RunControl) -> None:
        """Reads to the end, or until the control says stop.

        Raises:
            CatalogueInvalid: the file cannot be read to its end. What came before is counted.
        """
        loop, rows = asyncio.get_running_loop(), islice(self._catalogue.rows(), self._request.limit)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            while not control.stopping.is_set():
                chunk, failure = await loop.run_in_executor(None, _take, rows)
                self.tally.read += len(chunk)
                outcomes = await self._look_at(chunk, pool)
                await loop.run_in_executor(None, self._record, chunk, outcomes)
                if failure is not None:
                    raise failure
                if not chunk:
                    break

    async def unnamed(self, control: RunControl, display: Display) -> UnnamedPictures | None:
        """Pictures that no row names; None when the search was stopped."""
        display.waiting("Looking for pictures that no row names", 0.0)
        root = self._catalogue.folder / self._catalogue.mapping.template.folder
        found = await asyncio.to_thread(self._named.others, root, control.stopping.is_set)
        display.waiting("Looking for pictures that no row names", 1.0)
        return found if found.complete else None

    def close_rejects(self) -> None:
        """Publishes the rejects file, if there is one and all of it could be written."""
        try:
            if self._rejects is not None and self._unwritable is None:
                self._rejects.close()
        except OSError as error:
            self._unwritable = _incomplete(error)

    def verdict(self, control: RunControl) -> VitrineError | None:
        """What makes the catalogue unusable, once it was read; None while nothing does."""
        if control.stopping.is_set():
            return None
        if self._unwritable is not None:
            return self._unwritable
        limit, rejected = self._request.max_rejects, self.tally.rejections
        if not self.tally.written:
            return CatalogueUnusable(
                f"Of {self.tally.read} records none can be indexed.", read=self.tally.read, rejected=rejected
            )
        if limit is not None and rejected > limit:
            return LimitExceeded(
                f"{rejected} records would be rejected; at most {limit} may be.", rejected=rejected, limit=limit
            )
        return None

    def report(
        self, unnamed: UnnamedPictures | None, failure: VitrineError | None, interrupted: str, elapsed_s: float
    ) -> CheckReport:
        """The whole of it."""
        self.tally.check()
        catalogue, request = self._catalogue, self._request
        used = catalogue.mapping.columns
        notes = list(self._profile.notes())
        if unnamed is not None and unnamed.unlisted:
            notes.append(f"{unnamed.unlisted} folders could not be looked into.")
        return CheckReport(
            file=str(catalogue.path),
            mapping=catalogue.mapping.name,
            format=catalogue.mapping.format.value,
            read=self.tally.read,
            usable=self.tally.written,
            rejected=self.tally.rejected,
            examples=self._examples,
            blank_lines=catalogue.blank_lines,
            decoded=request.decode,
            unnamed=unnamed,
            described=self._profile.rows,
            fields=self._profile.fields,
            unmapped=[name for name in catalogue.columns if name not in used],
            notes=notes,
            elapsed_s=elapsed_s,
            rejects_file=str(request.rejects or ""),
            interrupted=interrupted,
            failure=failure,
        )

    async def _look_at(self, chunk: Sequence[CatalogueRow | Rejection], pool: Executor) -> list[Rejection | None]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(pool, self._outcome, row) for row in chunk)))

    def _outcome(self, row: CatalogueRow | Rejection) -> Rejection | None:
        if isinstance(row, Rejection):
            return row
        if not self._request.decode:
            return self._loader.probe(row)
        loaded = self._loader.load(row, None)
        return loaded if isinstance(loaded, Rejection) else None

    def _record(self, chunk: Sequence[CatalogueRow | Rejection], outcomes: Sequence[Rejection | None]) -> None:
        for row, rejection in zip(chunk, outcomes, strict=True):
            if isinstance(row, CatalogueRow):
                self._profile.add(row.item)
                self._named.add(row.item.image_path, row.item.image)
            elif image := self._catalogue.likely_image(row):
                self._named.add(image)
            if rejection is None:
                self.tally.embedded += 1
                self.tally.written += 1
            else:
                self._reject(rejection)

    def _reject(self, rejection: Rejection) -> None:
        self.tally.rejected[rejection.code] += 1
        examples = self._examples.setdefault(rejection.code, [])
        if len(examples) < _EXAMPLES:
            examples.append(rejection)
        if self._rejects is None or self._unwritable is not None:
            return
        try:
            self._rejects.add(rejection)
        except OSError as error:
            # The reading goes on: its report is worth having.
            self._unwritable = _incomplete(error)


def _take(
    rows: Iterator[CatalogueRow | Rejection],
) -> tuple[list[CatalogueRow | Rejection], VitrineError | None]:
    """The next rows, and what ended them early: rows that came before a damaged place still count."""
    chunk: list[CatalogueRow | Rejection] = []
    try:
        for row in islice(rows, CHUNK):
            chunk.append(row)  # noqa: PERF402 - nothing promises that extend keeps what came before an error
    except VitrineError as error:
        return chunk, error
    return chunk, None


def _incomplete(error: OSError) -> InvalidInput:
    return InvalidInput(f"The rejects file cannot be written to its end: {error.strerror}.")


@contextmanager
def _open_rejects(path: Path | None) -> Iterator[RejectsFile | None]:
    """Raises InvalidInput: it cannot be written."""
    if path is None:
        yield None
        return
    try:
        file = RejectsFile(path)
    except OSError as error:
        raise InvalidInput(f"The rejects file {path} cannot be written: {error.strerror}.") from error
    try:
        yield file
    finally:
        # A second time, after whatever the check had to say about the first.
        with suppress(OSError):
            file.close()
