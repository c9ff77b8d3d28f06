"""Candidates that must not become live, each for a reason of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.integration.promotion.conftest import Editions
from vitrine.errors import InvalidInput
from vitrine.indexer.candidate import CollectionInUse, open_candidate
from vitrine.indexer.target import Wanted
from vitrine.local.gateway import environment_of
from vitrine.promotion.gates import GateLimits
from vitrine.promotion.job import PromoteRequest, Promotion, run_promote
from vitrine.promotion.trying import Sampling
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection

EDITIONS = ("live", "fewer", "foreign", "crippled", "unindexed")
# Neighbours of random vectors under titles that mean nothing to them: recall and overlap are what counts here.
LIMITS = GateLimits(max_p99_ms=10_000)


async def judged(editions: Editions, edition: str, limits: GateLimits = LIMITS) -> Promotion:
    request = PromoteRequest(editions.alias, editions.name(edition), limits, Sampling(20, warm_up=5))
    return await run_promote(request, editions.settings, lambda *_: None)


@pytest.mark.parametrize(
    ("edition", "gate"),
    [("fewer", "rows"), ("foreign", "model"), ("crippled", "recall@10"), ("unindexed", "index")],
)
async def test_a_candidate_with_one_fault_is_refused_for_it(editions: Editions, edition: str, gate: str) -> None:
    # The crippled index also gives other hits than the live one, which is a consequence and no second fault.
    promotion = await judged(editions, edition, GateLimits(max_p99_ms=10_000, min_overlap=0.0))
    assert [failed.name for failed in promotion.failed] == [gate]
    assert promotion.moved is None


def test_the_command_refuses_with_a_code_and_prints_every_gate(editions: Editions) -> None:
    arguments = [
        "promote",
        editions.alias,
        "--to",
        editions.name("fewer"),
        "--sample",
        "10",
        "--warm-up",
        "5",
        "--json",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "vitrine.cli.app", *arguments],
        env={**os.environ, **environment_of(editions.settings)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "gate_failed" in ended.stderr
    told = json.loads(ended.stdout)
    assert (told["promoted"], "rows" in told["failed"]) == (False, True)
    names = ["finished", "model", "fields", "rows", "index", "recall@10", "overlap@10", "p99"]
    assert [gate["name"] for gate in told["gates"]] == names
    assert told["queries"] == "10 titles"


def test_nothing_was_moved_or_recorded_by_refusals(editions: Editions) -> None:
    async def look(admin: CollectionAdmin) -> None:
        assert await admin.alias_target(editions.alias) == editions.name("live")
        for edition in EDITIONS[1:]:
            assert (await admin.describe(editions.name(edition))).lineage.promoted_at is None

    editions.run(look)


async def test_what_is_live_already_is_no_candidate(editions: Editions) -> None:
    with pytest.raises(InvalidInput, match="points at"):
        await judged(editions, "live")


async def test_nothing_is_built_into_what_is_live(editions: Editions) -> None:
    async with await MilvusConnection.open(editions.settings.milvus) as connection:
        admin = CollectionAdmin(connection)
        live = await admin.describe(editions.alias, counted=False)
        wanted = Wanted(editions.alias, live.dimension, live.fields, None, live.fingerprint, live.model)
        with pytest.raises(CollectionInUse, match="is live behind"):
            await open_candidate(admin, wanted, live.name, lambda *_: None)
        with pytest.raises(InvalidInput, match="is an alias"):
            await open_candidate(admin, wanted, editions.alias, lambda *_: None)
