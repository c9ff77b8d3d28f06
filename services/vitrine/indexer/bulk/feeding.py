"""Files given to Milvus a few at a time, each as a job of its own, until the last job has ended."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from vitrine.errors import DeadlineExceeded, VitrineError
from vitrine.indexer.bulk.manifest import BulkFile, Manifest
from vitrine.indexer.bulk.outcome import FileOutcome
from vitrine.indexer.control import RunControl
from vitrine.indexer.retry import Backoff
from vitrine.vectorstore.admin import Progress
from vitrine.vectorstore.bulk_import import BulkImporter, ImportJob, JobState

AT_ONCE = 8
"""Jobs under way at once. A server queues more by itself; what it has not been given can still be left out."""

POLL_S = 0.5
_ASKING = Backoff(attempts=6)

_log = logging.getLogger(__name__)


class BulkImportFailed(VitrineError):
    """A job failed, or imported another number of rows than its file has."""

    code = "bulk_import_failed"


class Feeding:
    """One pass over the files of a manifest.

    Args:
        jobs: of an earlier run, by the name of their file; these are followed and not submitted again.
        path_of: a file's name as the server finds it.
        patience_s: longest to wait without any job getting further.
    """

    def __init__(
        self,
        importer: BulkImporter,
        collection: str,
        manifest: Manifest,
        jobs: Mapping[str, ImportJob],
        path_of: Callable[[str], str],
        *,
        patience_s: float,
        control: RunControl,
        on_progress: Progress,
    ) -> None:
        self._importer = importer
        self._collection = collection
        self._files = {file.name: file for file in manifest.files}
        self._rows = manifest.rows
        self._jobs = dict(jobs)
        self._earlier = frozenset(name for name, job in jobs.items() if job.state is JobState.DONE)
        self._path_of = path_of
        self._patience_s = patience_s
        self._control = control
        self._on_progress = on_progress
        self._moved_at = time.monotonic()

    @property
    def failed(self) -> bool:
        """Whether what arrived in the collection can never become what it should be."""
        return any(self._wrong(name) for name in self._jobs)

    def outcomes(self) -> tuple[FileOutcome, ...]:
        """Each file with its job so far."""
        return tuple(
            FileOutcome(name, file.rows, self._jobs.get(name), earlier=name in self._earlier)
            for name, file in self._files.items()
        )

    async def run(self) -> None:
        """Runs to the end of all jobs, or of those under way when one fails or the run is stopped.

        Raises:
            BulkImportFailed: at least one job failed.
            DeadlineExceeded: nothing got further for too long.
            VectorStoreUnavailable: Milvus stayed away.
        """
        waiting = [file for name, file in self._files.items() if name not in self._jobs]
        while True:
            await self._refresh()
            running = [job for job in self._jobs.values() if job.state is JobState.RUNNING]
            stopping = self.failed or self._control.stopping.is_set()
            while waiting and len(running) < AT_ONCE and not stopping:
                running.append(await self._submit(waiting.pop(0)))
            self._on_progress("importing", self._share())
            if not running or self._control.stopping.is_set():
                break
            self._require_patience(len(running))
            await asyncio.sleep(POLL_S)
        if self.failed:
            raise self._failure()

    async def _submit(self, file: BulkFile) -> ImportJob:
        """Not repeated by itself when it fails: the job may have begun, and a second one would double its rows."""
        job_id = await self._importer.submit(self._collection, self._path_of(file.name))
        job = ImportJob(job_id, self._path_of(file.name), JobState.RUNNING, 0, 0.0)
        self._jobs[file.name] = job
        self._moved_at = time.monotonic()
        return job

    async def _refresh(self) -> None:
        for name, known in list(self._jobs.items()):
            if known.state is not JobState.RUNNING:
                continue
            job = await self._ask(known.id)
            if (job.state, job.share, job.rows) != (known.state, known.share, known.rows):
                self._moved_at = time.monotonic()
            self._jobs[name] = job

    async def _ask(self, job_id: str) -> ImportJob:
        return await _ASKING.run("Asking for a job", lambda: self._importer.job(job_id), self._control.stopping)

    def _share(self) -> float:
        """By rows; a running job counts with what it says of itself."""
        done = sum(self._files[name].rows * job.share for name, job in self._jobs.items() if name in self._files)
        return min(0.999, done / self._rows)

    def _wrong(self, name: str) -> bool:
        job = self._jobs[name]
        return job.state is JobState.FAILED or (job.state is JobState.DONE and job.rows != self._files[name].rows)

    def _failure(self) -> BulkImportFailed:
        wrong = [name for name in self._jobs if self._wrong(name)]
        first = self._jobs[wrong[0]]
        reason = first.reason or f"{first.rows} of {self._files[wrong[0]].rows} rows were imported"
        return BulkImportFailed(
            f"{len(wrong)} of {len(self._files)} files were not imported, first {wrong[0]}: {reason}.", files=wrong
        )

    def _require_patience(self, running: int) -> None:
        if time.monotonic() - self._moved_at > self._patience_s:
            raise DeadlineExceeded(
                f"None of {running} import jobs got further within {self._patience_s:g} s. They may still end: the "
                "same command goes on from here.",
                running=running,
            )
