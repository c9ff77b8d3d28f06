from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.fixtures.kept import FIELDS
from vitrine.indexer.bulk.destination import JOBS_REMEMBERED, _doubt
from vitrine.indexer.bulk.manifest import BulkFile, Manifest
from vitrine.vectorstore.bulk_import import ImportJob, JobState
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.index_params import Flat

FILES = (BulkFile("rows-000001.parquet", 10, 1, "0"), BulkFile("rows-000002.parquet", 4, 1, "0"))
MANIFEST = Manifest("f" * 64, "small", 8, FIELDS, "", 14, 0, 0, FILES)
NOW = datetime.now(UTC)
INFO = CollectionInfo("shop_v1", 8, 0, FIELDS, Flat(), "f" * 64, "small", "build", NOW, False, ())


def job(number: int, state: JobState, rows: int) -> ImportJob:
    return ImportJob(str(number), f"bucket/rows-{number:06d}.parquet", state, rows, 1.0, "broken")


def jobs(*told: ImportJob) -> dict[str, ImportJob]:
    return {one.file.rpartition("/")[2]: one for one in told}


@pytest.mark.parametrize(
    "found",
    [
        jobs(),
        jobs(job(1, JobState.RUNNING, 0)),
        jobs(job(1, JobState.DONE, 10)),
        jobs(job(1, JobState.DONE, 10), job(2, JobState.RUNNING, 0)),
        jobs(job(1, JobState.DONE, 10), job(2, JobState.DONE, 4)),
    ],
)
def test_jobs_that_add_up_are_gone_on_with(found: dict[str, ImportJob]) -> None:
    assert _doubt(INFO, found, MANIFEST) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (jobs(job(1, JobState.FAILED, 0)), "failed: broken"),
        (jobs(job(1, JobState.DONE, 9)), "9 of 10 rows"),
        (jobs(job(3, JobState.DONE, 10)), "rows-000003"),
        ({"": ImportJob("1", "", JobState.RUNNING, 0, 0.0)}, "does not name"),
    ],
)
def test_jobs_that_do_not_add_up_mean_beginning_anew(found: dict[str, ImportJob], why: str) -> None:
    assert why in _doubt(INFO, found, MANIFEST)


def test_a_file_without_a_job_is_doubtful_once_the_server_may_have_forgotten_it() -> None:
    old = replace(INFO, created_at=NOW - JOBS_REMEMBERED - timedelta(seconds=1))
    assert "forgotten" in _doubt(old, jobs(job(1, JobState.DONE, 10)), MANIFEST)
    assert _doubt(old, jobs(job(1, JobState.DONE, 10), job(2, JobState.DONE, 4)), MANIFEST) == ""
