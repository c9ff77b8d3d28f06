"""The indexer's Jobs: their pods index a catalogue and end with the statuses that the Jobs act on."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.indexing import Shelf
from tests.helm.rendering import Object, Pod, Rendered
from tests.pods.conftest import INDEXING_TIMEOUT_S, PRODUCTS, Start, rendered_here
from tests.pods.provided import Provided
from tests.pods.running import PodRunning

pytestmark = pytest.mark.pods

_SHARDS = 2


def _job_pod(rendered: Rendered) -> Pod:
    """Of the Job that fills."""
    return next(pod for pod in rendered.pods_of("indexer") if "finish" not in pod.spec["containers"][0]["args"])


def _counts(log: str) -> dict[str, int]:
    """The table at the end of a run, as it is printed for people."""
    return {name: int(count) for name, count in re.findall(r"│ ([a-z' ]+?) +│ +(\d+) │", log)}


def _ids_of(catalogue: Path) -> set[str]:
    return {path.stem for path in (catalogue / "images").rglob("*.jpg")}


async def test_the_jobs_pod_indexes_the_catalogue(indexing_pod: PodRunning, catalogue: Path, shelf: Shelf) -> None:
    counts = _counts(indexing_pod.log())
    assert (counts["read"], counts["written"], counts["rejected"]) == (PRODUCTS, PRODUCTS, 0)
    assert set(await shelf.ids("products")) == _ids_of(catalogue)


async def test_pods_of_an_indexed_job_share_a_catalogue_and_another_finishes(
    start: Start, provided: Provided, catalogue: Path, shelf: Shelf
) -> None:
    rendered = rendered_here("dev", "--set=collection=by_shards", f"--set=indexer.shards={_SHARDS}")
    filling = _job_pod(rendered)
    (finishing,) = [pod for pod in rendered.pods_of("indexer") if pod.owner != filling.owner]
    given = provided.with_claims_of(rendered)  # one ledger for all of them
    assert filling.owner["spec"]["completions"] == _SHARDS
    shards = [start(rendered, filling, given, index=index) for index in range(_SHARDS)]
    last = start(rendered, finishing, given)
    for pod in (*shards, last):
        assert pod.wait_ended(INDEXING_TIMEOUT_S) == 0, pod.log()
    written = [_counts(pod.log())["written"] for pod in shards]
    assert sum(written) == PRODUCTS
    assert min(written) > 0
    assert set(await shelf.ids("by_shards")) == _ids_of(catalogue)


def test_a_claim_without_a_catalogue_ends_with_the_status_that_fails_the_job(
    start: Start, provided: Provided, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    rendered = rendered_here("dev", "--set=collection=by_nobody")
    pod = _job_pod(rendered)
    given = provided.with_claims_of(rendered)
    running = start(rendered, pod, replace(given, claims={**given.claims, "vitrine-catalogue": tmp_path}))
    assert running.wait_ended(60) in _failing_statuses(pod.owner), running.log()


def _failing_statuses(job: Object) -> list[int]:
    (values,) = [
        rule["onExitCodes"]["values"] for rule in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    return list(values)
