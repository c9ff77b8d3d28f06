import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.unit.gateway.conftest import COLLECTION, Api, OpenApi
from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    ContractMismatch,
    DeadlineExceeded,
    EncoderUnavailable,
    VectorStoreUnavailable,
    VitrineError,
)
from vitrine.gateway.schemas.problems import NotReadyProblem, ReadyAnswer
from vitrine.search.request import Check
from vitrine.vectorstore.lineage import Lineage

MISMATCH = ContractMismatch("Collection uses another model.", owner="c", expected="a" * 64, found="b" * 64)


async def test_alive_depends_on_nothing(api: Api) -> None:
    api.searcher.failure = RuntimeError("all is lost")
    response = await api.client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})
    assert api.searcher.readiness_asked == 0


async def test_ready_says_so_with_its_fingerprint(api: Api) -> None:
    response = await api.client.get("/readyz")
    assert response.status_code == 200
    answer = ReadyAnswer.model_validate_json(response.content)
    assert answer.fingerprint == "f" * 64
    assert [(check.name, check.ok) for check in answer.checks] == [("triton", True), ("collection", True)]
    assert api.metrics.registry.get_sample_value("vitrine_ready") == 1


async def test_a_mismatch_is_503_and_names_both_fingerprints(api: Api) -> None:
    api.searcher.checks = (Check("triton", None), Check("collection", MISMATCH))
    response = await api.client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    problem = NotReadyProblem.model_validate_json(response.content)
    assert problem.code == "not_ready"
    assert problem.checks[0].ok
    assert problem.checks[1].code == "contract_mismatch"
    assert problem.checks[1].details == {"owner": "c", "expected": "a" * 64, "found": "b" * 64}
    value = api.metrics.registry.get_sample_value
    assert (value("vitrine_contract_mismatch"), value("vitrine_ready")) == (1, 0)
    assert value("vitrine_dependency_up", {"dependency": "milvus"}) == 1


@pytest.mark.parametrize(
    ("error", "up"),
    [
        (None, 1),
        (VectorStoreUnavailable("x"), 0),
        (DeadlineExceeded("x"), 0),
        (CollectionNotReady("x"), 1),
        (CollectionNotFound("x"), 1),
        (MISMATCH, 1),
    ],
)
async def test_a_dependency_is_up_when_it_answered(api: Api, error: VitrineError | None, up: int) -> None:
    api.searcher.checks = (Check("triton", EncoderUnavailable("down")), Check("collection", error))
    await api.client.get("/metrics")
    value = api.metrics.registry.get_sample_value
    assert value("vitrine_dependency_up", {"dependency": "milvus"}) == up
    assert value("vitrine_dependency_up", {"dependency": "triton"}) == 0


async def test_many_probes_ask_once(api: Api) -> None:
    await asyncio.gather(*(api.client.get("/readyz") for _ in range(20)))
    await api.client.get("/metrics")
    assert api.searcher.readiness_asked == 1


async def test_an_old_answer_is_asked_for_anew(open_api: OpenApi) -> None:
    api = await open_api(readiness_cache_s=0)
    await api.client.get("/readyz")
    api.searcher.checks = (Check("triton", EncoderUnavailable("down")), Check("collection", None))
    assert (await api.client.get("/readyz")).status_code == 503


async def test_a_check_that_hangs_counts_as_failed(open_api: OpenApi) -> None:
    api = await open_api(readiness_timeout_s=0.02)

    async def hang() -> None:
        await asyncio.Event().wait()

    api.searcher.before = hang
    response = await api.client.get("/readyz")
    assert response.status_code == 503
    assert {check["code"] for check in response.json()["checks"]} == {"deadline_exceeded"}


async def test_a_check_that_breaks_leaves_metrics_answering(api: Api) -> None:
    api.searcher.failure = RuntimeError("secret")
    assert (await api.client.get("/metrics")).status_code == 200
    response = await api.client.get("/readyz")
    assert response.status_code == 503
    assert "secret" not in response.text


async def test_a_prober_that_gives_up_does_not_spoil_the_answer_for_others(api: Api) -> None:
    inside, leave = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        inside.set()
        await leave.wait()

    api.searcher.before = wait
    impatient = asyncio.create_task(api.client.get("/readyz"))
    await inside.wait()
    patient = asyncio.create_task(api.client.get("/readyz"))
    impatient.cancel()
    leave.set()
    assert (await patient).status_code == 200
    assert api.searcher.readiness_asked == 1


async def test_draining_is_not_ready_at_once_but_still_serves(api: Api) -> None:
    assert (await api.client.get("/readyz")).status_code == 200
    api.services.readiness.drain()
    response = await api.client.get("/readyz")
    assert (response.status_code, response.json()["code"]) == (503, "draining")
    assert (await api.search({"query": "dress"})).status_code == 200
    assert (await api.client.get("/livez")).status_code == 200
    assert api.metrics.registry.get_sample_value("vitrine_ready") == 0


async def test_metrics_come_in_the_format_asked_for(api: Api) -> None:
    plain = await api.client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "vitrine_build_info{" in plain.text
    accept = {"accept": "application/openmetrics-text;version=1.0.0"}
    openmetrics = await api.client.get("/metrics", headers=accept)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")


async def test_the_age_of_the_collection_is_told_while_it_is_known(open_api: OpenApi) -> None:
    api = await open_api(readiness_cache_s=0)
    value = api.metrics.registry.get_sample_value
    at = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
    api.searcher.collection = replace(COLLECTION, rows=7, lineage=Lineage("products", indexed_at=at))
    await api.client.get("/metrics")
    assert value("vitrine_collection_indexed_timestamp_seconds") == at.timestamp()
    assert value("vitrine_collection_rows") == 7
    api.searcher.checks = (Check("triton", None), Check("collection", VectorStoreUnavailable("down")))
    await api.client.get("/metrics")
    assert value("vitrine_collection_indexed_timestamp_seconds") == at.timestamp(), (
        "a silent Milvus makes nothing older"
    )


async def test_nothing_is_told_of_a_collection_that_no_run_finished_or_that_is_gone(open_api: OpenApi) -> None:
    api = await open_api(readiness_cache_s=0)
    value = api.metrics.registry.get_sample_value
    await api.client.get("/metrics")
    assert value("vitrine_collection_indexed_timestamp_seconds") is None
    assert value("vitrine_collection_rows") == 2
    api.searcher.collection = None
    await api.client.get("/metrics")
    assert value("vitrine_collection_rows") is None
