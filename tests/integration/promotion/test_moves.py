"""Promotion and rollback while shoppers search: no error, no answer from two collections, and nothing lost."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.serving import RunningGateway
from tests.integration.promotion.conftest import Editions
from vitrine.errors import ContractMismatch
from vitrine.promotion.family import State
from vitrine.promotion.gates import GateLimits
from vitrine.promotion.job import (
    PromoteRequest,
    Promotion,
    find_retired,
    list_members,
    run_promote,
    run_retire,
    run_rollback,
)
from vitrine.promotion.moves import RollbackImpossible
from vitrine.promotion.trying import Sampling

EDITIONS = ("live", "good", "foreign")
RATE = 50.0
"""Searches a second; where other work takes the cores, those who send them fall behind."""
SEEN_WITHIN_S = 1.5
"""A gateway follows an alias within the second for which it remembers it."""


@dataclass
class Answers:
    """What shoppers were told: when each asked, and which collection answered; and at what rate they asked."""

    alias: str
    seen: list[tuple[float, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    asked_per_s: float = 0.0

    def take(self, began: float, status: int, told: dict[str, Any]) -> None:
        """An answer to one search."""
        if status != 200:
            self.faults.append(f"{status}: {told}")
            return
        editions = {hit["metadata"]["edition"] for hit in told["hits"]}
        if editions != {told["collection"]} or len(told["hits"]) != 10:
            self.faults.append(f"{told['collection']} answered with {len(told['hits'])} hits of {editions}")
        self.seen.append((began, told["collection"]))

    def after(self, moment: float) -> set[str]:
        """Collections that answered those who asked after a moment."""
        return {collection for began, collection in self.seen if began > moment}


async def ask(client: httpx.AsyncClient, answers: Answers, number: int) -> None:
    """One search; every tenth is two searches in one request, which must come from one collection."""
    began = time.monotonic()
    search = {"query": f"dress {number % 97}", "limit": 10}
    if number % 10:
        response = await client.post(f"/v1/collections/{answers.alias}/search", json=search)
        answers.take(began, response.status_code, response.json())
        return
    searches = [{"collection": answers.alias, **search}, {"collection": answers.alias, "query": "skirt", "limit": 10}]
    response = await client.post("/v1/multi_search", json={"searches": searches})
    results = response.json().get("results", [])
    for result in results:
        answers.take(began, result["status"], result)
    if len({result.get("collection") for result in results}) != 1:
        answers.faults.append(f"multi_search: {response.text[:300]}")


@asynccontextmanager
async def shoppers(gateway: RunningGateway, alias: str) -> AsyncIterator[Answers]:
    """`RATE` searches a second, sent whether or not earlier ones were answered."""
    answers, asked, stop = Answers(alias), [], asyncio.Event()

    async def send(client: httpx.AsyncClient) -> None:
        began, number = time.monotonic(), 0
        while not stop.is_set():
            asked.append(asyncio.create_task(ask(client, answers, number)))
            number += 1
            await asyncio.sleep(max(0.0, began + number / RATE - time.monotonic()))
        answers.asked_per_s = number / (time.monotonic() - began)

    async with httpx.AsyncClient(base_url=gateway.url, timeout=30) as client:
        sending = asyncio.create_task(send(client))
        try:
            yield answers
        finally:
            stop.set()
            await sending
            await asyncio.gather(*asked)


@pytest.fixture
def gateway(editions: Editions, tmp_path: Path) -> Any:
    gateway = RunningGateway(
        editions.settings, tmp_path / "log", default_collection=editions.alias, default_timeout_ms=10_000
    )
    gateway.wait_alive()
    yield gateway
    gateway.stop()


async def promoted(editions: Editions, edition: str, *, force: bool = False) -> Promotion:
    limits = GateLimits(max_p99_ms=10_000)
    request = PromoteRequest(editions.alias, editions.name(edition), limits, Sampling(30, warm_up=10), force=force)
    return await run_promote(request, editions.settings, lambda *_: None)


async def rolled_back(editions: Editions, *, force: bool = False) -> None:
    await run_rollback(editions.alias, editions.settings, lambda *_: None, force=force)


async def states(editions: Editions) -> dict[str, State]:
    return {
        member.info.name.removeprefix(f"{editions.alias}_"): member.state
        for member in await list_members(editions.settings)
        if member.alias == editions.alias
    }


def page(gateway: RunningGateway, alias: str, cursor: str | None = None) -> dict[str, Any]:
    response = gateway.search("dress", alias, limit=40, **({} if cursor is None else {"cursor": cursor}))
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def test_shoppers_notice_neither_promotion_nor_rollback(
    editions: Editions, gateway: RunningGateway, record_property: Callable[[str, object], None]
) -> None:
    live, good = editions.name("live"), editions.name("good")
    first = page(gateway, editions.alias)
    async with shoppers(gateway, editions.alias) as answers:
        await asyncio.sleep(0.5)
        promotion = await promoted(editions, "good")
        moved = time.monotonic()
        assert promotion.moved is not None, promotion.failed
        await asyncio.sleep(SEEN_WITHIN_S + 1)
        # A walk that began before the move goes on in the collection it began with.
        second = await asyncio.to_thread(page, gateway, editions.alias, first["next_cursor"])
        between = await states(editions)
        returning = time.monotonic()
        await rolled_back(editions)
        back = time.monotonic()
        await asyncio.sleep(SEEN_WITHIN_S + 0.5)
    assert answers.faults == []
    record_property("searches_per_s", round(answers.asked_per_s, 1))
    assert answers.asked_per_s >= RATE / 2, "the shoppers themselves did not get on"
    assert len(answers.seen) >= RATE * 5, "too few searches to tell anything"
    assert {collection for _, collection in answers.seen} == {live, good}
    assert {name for began, name in answers.seen if moved + SEEN_WITHIN_S < began < returning} == {good}
    assert answers.after(back + SEEN_WITHIN_S) == {live}
    assert (first["collection"], second["collection"]) == (live, live)
    assert not {hit["id"] for hit in first["hits"]} & {hit["id"] for hit in second["hits"]}
    assert (between["good"], between["live"], between["foreign"]) == (State.LIVE, State.PREVIOUS, State.CANDIDATE)
    after = await states(editions)
    assert (after["good"], after["live"]) == (State.ROLLED_BACK, State.LIVE)


async def test_a_gateway_of_the_old_model_goes_on_until_its_collection_is_retired(
    editions: Editions, gateway: RunningGateway
) -> None:
    live, good = editions.name("live"), editions.name("good")
    async with shoppers(gateway, editions.alias) as answers:
        promotion = await promoted(editions, "foreign", force=True)
        moved = time.monotonic()
        await asyncio.sleep(SEEN_WITHIN_S + 0.5)
    assert [gate.name for gate in promotion.failed] == ["model"]
    assert answers.faults == []
    assert {collection for _, collection in answers.seen} == {live}
    assert answers.after(moved + SEEN_WITHIN_S) == {live}
    told = page(gateway, editions.alias)
    assert (told["warnings"], told["model"]["fingerprint"]) == (["previous_collection"], gateway_model(gateway))
    assert gateway.http.get("/readyz").status_code == 200

    # A rollback to another model must be meant; gateways of the model that was left go on in the same way.
    assert (await promoted(editions, "good")).moved is not None
    with pytest.raises(ContractMismatch, match="Name the repository of that model"):
        await rolled_back(editions)
    await rolled_back(editions, force=True)
    await asyncio.sleep(SEEN_WITHIN_S)
    assert page(gateway, editions.alias)["collection"] == good

    assert await retired(editions, editions.alias) == set()
    assert await retired(editions, editions.alias, everything=True) == {live, good}
    with pytest.raises(RollbackImpossible, match="gone"):
        await rolled_back(editions)
    refused = gateway.search("dress", editions.alias)
    assert (refused.status_code, refused.json()["code"]) == (503, "contract_mismatch"), refused.text


async def retired(editions: Editions, name: str, *, everything: bool = False) -> set[str]:
    infos = await find_retired(name, editions.settings, keep=1, everything=everything)
    await run_retire(infos, editions.settings)
    return {info.name for info in infos}


def gateway_model(gateway: RunningGateway) -> str:
    fingerprint: str = gateway.http.get("/readyz").json()["fingerprint"]
    return fingerprint
