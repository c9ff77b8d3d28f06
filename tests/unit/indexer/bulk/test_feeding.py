from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from tests.fixtures.kept import FIELDS
from vitrine.errors import DeadlineExceeded, VectorStoreUnavailable
from vitrine.indexer.bulk import feeding
from vitrine.indexer.bulk.feeding import AT_ONCE, BulkImportFailed, Feeding
from vitrine.indexer.bulk.manifest import BulkFile, Manifest
from vitrine.indexer.control import RunControl
from vitrine.vectorstore.bulk_import import ImportJob, JobState

FILES = tuple(BulkFile(f"rows-{number:06d}.parquet", 10, 1, "0") for number in range(1, 21))
MANIFEST = Manifest("f" * 64, "small", 8, FIELDS, "", 200, 0, 0, FILES)


@dataclass
class Server:
    """Imports each file at its second look; `broken` ones fail, `short` ones lose a row, `stuck` ones never end."""

    broken: frozenset[str] = frozenset()
    short: frozenset[str] = frozenset()
    stuck: bool = False
    away: int = 0
    submitted: list[str] = field(default_factory=list)
    looks: dict[str, int] = field(default_factory=dict)
    most_running: int = 0

    async def submit(self, collection: str, file: str) -> str:
        assert collection == "shop_v1"
        self.submitted.append(file)
        return file

    async def job(self, job_id: str) -> ImportJob:
        if self.away:
            self.away -= 1
            raise VectorStoreUnavailable("gone for a moment")
        self.looks[job_id] = self.looks.get(job_id, 0) + 1
        running = sum(1 for file in self.submitted if self.looks.get(file, 0) < 2)
        self.most_running = max(self.most_running, running)
        name = job_id.rpartition("/")[2]
        if self.stuck or self.looks[job_id] < 2:
            return ImportJob(job_id, job_id, JobState.RUNNING, 0, 0.5)
        if name in self.broken:
            return ImportJob(job_id, job_id, JobState.FAILED, 0, 0.0, "no such object")
        return ImportJob(job_id, job_id, JobState.DONE, 9 if name in self.short else 10, 1.0)

    async def jobs_of(self, collection: str) -> list[ImportJob]:
        raise AssertionError(f"nobody asks for jobs of {collection} here")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "POLL_S", 0.001)
    monkeypatch.setattr(feeding, "_ASKING", replace(feeding._ASKING, first_s=0.001))


def feed(server: Server, jobs: Mapping[str, ImportJob] | None = None, *, patience_s: float = 30.0) -> Feeding:
    return Feeding(
        server,
        "shop_v1",
        MANIFEST,
        jobs or {},
        lambda name: f"bucket/{name}",
        patience_s=patience_s,
        control=RunControl(),
        on_progress=lambda _what, share: None if 0 <= share < 1 else pytest.fail(f"{share} done before the end"),
    )


async def test_every_file_is_given_once_and_only_some_at_a_time() -> None:
    server = Server()
    feeding = feed(server)
    await feeding.run()
    assert server.submitted == [f"bucket/{file.name}" for file in FILES]
    assert AT_ONCE // 2 <= server.most_running <= AT_ONCE
    assert all(outcome.agrees for outcome in feeding.outcomes())
    assert not feeding.failed


async def test_a_failed_job_ends_the_feeding_after_those_under_way() -> None:
    server = Server(broken=frozenset({FILES[2].name}))
    feeding = feed(server)
    with pytest.raises(BulkImportFailed, match=r"rows-000003\.parquet: no such object"):
        await feeding.run()
    assert feeding.failed
    assert len(server.submitted) < len(FILES)
    ended = [outcome for outcome in feeding.outcomes() if outcome.job is not None]
    assert all(outcome.job is not None and outcome.job.state is not JobState.RUNNING for outcome in ended)
    assert feeding.outcomes()[-1].as_json()["state"] == "not submitted"


async def test_a_job_that_lost_a_row_is_a_failure() -> None:
    with pytest.raises(BulkImportFailed, match="9 of 10 rows"):
        await feed(Server(short=frozenset({FILES[0].name}))).run()


async def test_jobs_of_an_earlier_run_are_followed_and_not_given_again() -> None:
    server = Server()
    first, second = FILES[0].name, FILES[1].name
    earlier = {
        first: ImportJob("a", f"bucket/{first}", JobState.DONE, 10, 1.0),
        second: ImportJob(f"bucket/{second}", f"bucket/{second}", JobState.RUNNING, 0, 0.5),
    }
    feeding = feed(server, earlier)
    await feeding.run()
    assert server.submitted == [f"bucket/{file.name}" for file in FILES[2:]]
    assert [outcome.earlier for outcome in feeding.outcomes()] == [True] + [False] * 19
    assert all(outcome.agrees for outcome in feeding.outcomes())


async def test_a_server_that_is_away_for_a_moment_is_asked_again() -> None:
    server = Server(away=3)
    feeding = feed(server)
    await feeding.run()
    assert all(outcome.agrees for outcome in feeding.outcomes())


async def test_jobs_that_get_no_further_are_not_waited_for_without_end() -> None:
    with pytest.raises(DeadlineExceeded, match=f"None of {AT_ONCE} import jobs"):
        await feed(Server(stuck=True), patience_s=0.05).run()


async def test_a_stop_leaves_the_jobs_to_the_server() -> None:
    server = Server(stuck=True)
    feeding = feed(server)
    feeding._control.stop("SIGTERM")
    await feeding.run()
    assert server.submitted == []
    assert not feeding.failed
