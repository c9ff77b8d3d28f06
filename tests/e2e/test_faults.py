"""What callers see while Triton or Milvus is killed or stuck, and that all is well afterwards."""

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.e2e.conftest import OpenGateway
from tests.fixtures.serving import RunningGateway, eventually
from tests.fixtures.stack import RunningService, RunningStack
from vitrine.embedding.contract import ModelContract
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import parse_index

ENGINES = {"triton": "encoder_unavailable", "milvus": "vector_store_unavailable"}
DEADLINE_MS = 1_000
# After a SIGKILL, Milvus 2.3.5 loads nothing before the leases of its dead parts have ended.
RECOVERY_S = 120.0


_numbers = itertools.count()


def _new_query() -> str:
    """A text that no gateway remembers, so that it takes both engines to search for it."""
    return f"dress {next(_numbers)}"


def _timed(gateway: RunningGateway, **members: object) -> tuple[httpx.Response, float]:
    began = time.monotonic()
    response = gateway.search(_new_query(), **members)
    return response, time.monotonic() - began


def _works(gateway: RunningGateway) -> bool:
    return gateway.search(_new_query()).status_code == 200


@contextmanager
def _restored(engine: RunningService) -> Iterator[None]:
    """Whatever happens inside, the engine runs for the tests that come after."""
    try:
        yield
    finally:
        engine.start()
        engine.wait_ready()


@pytest.mark.parametrize("name", ENGINES)
def test_a_stuck_engine_is_given_up_within_the_deadline(
    gateway: RunningGateway, stack: RunningStack, name: str
) -> None:
    assert _works(gateway)
    engine = stack[name]
    engine.pause()
    try:
        for _ in range(3):
            response, seconds = _timed(gateway, timeout_ms=DEADLINE_MS)
            assert response.status_code in {503, 504}, response.text
            assert response.json()["code"] in {"deadline_exceeded", ENGINES[name]}
            assert seconds < DEADLINE_MS / 1000 + 1
        began = time.monotonic()
        assert gateway.http.get("/readyz").status_code == 503
        assert time.monotonic() - began < gateway.settings.gateway.readiness_timeout_s + 1
        assert gateway.http.get("/livez").elapsed.total_seconds() < 1
    finally:
        engine.resume()
    eventually(f"searches work again after {name} goes on", lambda: _works(gateway), RECOVERY_S)


def test_a_remembered_query_is_answered_without_triton(gateway: RunningGateway, stack: RunningStack) -> None:
    query = _new_query()
    found = gateway.ids(query)
    stack.triton.pause()
    try:
        assert gateway.ids(query) == found
        assert gateway.search(_new_query(), timeout_ms=200).status_code == 504
    finally:
        stack.triton.resume()
    eventually("searches work again", lambda: _works(gateway), RECOVERY_S)


@pytest.mark.usefixtures("shop")
async def test_another_models_collection_is_refused_and_both_fingerprints_are_named(
    stack: RunningStack, open_gateway: OpenGateway
) -> None:
    ours = ModelContract.load(stack.settings.model.repository)
    foreign = CollectionSpec("foreign_v1", ours.dimension, (), parse_index("flat", {}), "e" * 64, "another")
    async with await MilvusConnection.open(stack.settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        await admin.create(foreign)
        await admin.point_alias("foreign", "foreign_v1")
    gateway = open_gateway(default_collection="foreign")
    search = gateway.search("dress", alias="foreign")
    assert (search.status_code, search.json()["code"]) == (503, "contract_mismatch")
    ready = gateway.http.get("/readyz")
    assert ready.status_code == 503
    (failed,) = [check for check in ready.json()["checks"] if not check["ok"]]
    assert failed["code"] == "contract_mismatch"
    assert {failed["details"]["expected"], failed["details"]["found"]} == {ours.fingerprint, "e" * 64}
    assert "vitrine_contract_mismatch 1.0" in gateway.http.get("/metrics").text
    assert _works(gateway), "the collection of our own model is searched as ever"


@pytest.mark.parametrize("name", ENGINES)
def test_a_killed_engine_is_answered_503_at_once_and_recovered_from(
    gateway: RunningGateway, stack: RunningStack, name: str
) -> None:
    assert _works(gateway)
    engine = stack[name]
    with _restored(engine):
        engine.kill()
        for _ in range(5):
            response, seconds = _timed(gateway, timeout_ms=DEADLINE_MS)
            assert (response.status_code, response.json()["code"]) == (503, ENGINES[name]), response.text
            assert response.headers["retry-after"] == "1"
            assert seconds < DEADLINE_MS / 1000 + 1
        eventually("not ready", lambda: gateway.http.get("/readyz").status_code == 503, 10)
        assert gateway.http.get("/livez").status_code == 200
    eventually(f"searches work again after {name} came back", lambda: _works(gateway), RECOVERY_S)
    eventually("ready again", lambda: gateway.http.get("/readyz").status_code == 200, 10)
