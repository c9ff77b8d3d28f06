"""What the gateway says of a load against what the one who put it on it counted and timed."""

import asyncio
import bisect
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import OpenGateway
from tests.harness.open_loop import OpenLoop
from vitrine.telemetry.stages import BUCKETS_S

SEARCH: Final = "/v1/collections/{alias}/search"
SECONDS: Final = 4.0
RATE: Final = 25.0
TRIES: Final = 4
_EDGES: Final = (*BUCKETS_S, float("inf"))

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(http: httpx.Client) -> Samples:
    """Every sample of /metrics by its name and labels."""
    families = text_string_to_metric_families(http.get("/metrics").text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def increase(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """How much the series of a name grew that carry at least these labels."""
    wanted = set(labels.items())
    return sum(
        value - before.get((found, carried), 0.0)
        for (found, carried), value in after.items()
        if found == name and wanted <= carried
    )


def counts_by_bucket(before: Samples, after: Samples, name: str, **labels: str) -> list[float]:
    """What fell into each bucket of a histogram, in the order of its edges."""
    edges = [str(edge) for edge in BUCKETS_S] + ["+Inf"]
    upto = [increase(before, after, f"{name}_bucket", le=edge, **labels) for edge in edges]
    return [count - below for count, below in zip(upto, [0.0, *upto], strict=False)]


def bucket_of_quantile(counts: Iterable[float], share: float) -> int:
    """Number of the bucket in which a quantile lies."""
    counts = list(counts)
    rank, seen = share * sum(counts), 0.0
    for number, count in enumerate(counts):
        seen += count
        if seen >= rank and count:
            return number
    raise AssertionError("a histogram without observations has no quantile")


async def _loaded(url: str) -> OpenLoop:
    load = OpenLoop(url, rate=RATE, callers=4, rng=random.Random(5))
    enough = asyncio.Event()
    asyncio.get_running_loop().call_later(SECONDS, enough.set)
    await load.run(enough)
    return load


def _by_route(load: OpenLoop) -> Counter[tuple[str, str]]:
    """Requests by route and class of status, as their sender saw them."""
    routes = {"multi_search": "/v1/multi_search"}
    return Counter((routes.get(one.form.partition(",")[0], SEARCH), f"{one.outcome[0]}xx") for one in load.asked)


def _assert_counts_agree(before: Samples, after: Samples, load: OpenLoop) -> None:
    assert len(load.asked) == load.sent > SECONDS
    sent = _by_route(load)
    told = {
        key: increase(before, after, "vitrine_http_requests_total", route=key[0], status=key[1]) for key in sorted(sent)
    }
    assert told == dict(sent)
    assert increase(before, after, "vitrine_http_requests_total") == load.sent + 1, "and the first scrape"
    singles = sent[SEARCH, "2xx"]
    assert increase(before, after, "vitrine_searches_total") == singles + 3 * sent["/v1/multi_search", "2xx"]
    assert increase(before, after, "vitrine_deadline_left_seconds_count", hop="answered") == load.sent
    assert increase(before, after, "vitrine_stage_duration_seconds_count", stage="search") >= singles


def _buckets_apart(before: Samples, after: Samples, load: OpenLoop) -> list[int]:
    """By how many buckets the sender's median and 90th percentile lie above the gateway's."""
    those = [one for one in load.asked if one.outcome == "200" and "multi" not in one.form]
    waited = [(one.latency_ms - one.late_ms) / 1000 for one in those]
    own = [0.0] * len(_EDGES)
    for seconds in waited:
        own[bisect.bisect_left(_EDGES, seconds)] += 1
    told = counts_by_bucket(before, after, "vitrine_http_request_duration_seconds", route=SEARCH, status="2xx")
    assert sum(told) == len(waited)
    return [bucket_of_quantile(own, share) - bucket_of_quantile(told, share) for share in (0.5, 0.9)]


@pytest.mark.usefixtures("shop")
def test_the_gateway_counts_what_was_sent_and_times_what_was_waited_for(open_gateway: OpenGateway) -> None:
    gateway = open_gateway()
    assert gateway.search("dress").status_code == 200, "connections to the engines are open"
    apart: list[list[int]] = []
    # Counts agree each time. The sender's clock also runs while an answer waits for its process to get a core, so on a
    # machine that is busy with other things it may take another try until both saw the same.
    while len(apart) < TRIES and not (apart and set(apart[-1]) <= {0, 1}):
        before = scraped(gateway.http)
        load = asyncio.run(_loaded(gateway.url))
        after = scraped(gateway.http)
        _assert_counts_agree(before, after, load)
        apart.append(_buckets_apart(before, after, load))
    assert set(apart[-1]) <= {0, 1}, apart


@pytest.mark.usefixtures("shop")
def test_refusals_for_want_of_room_are_counted_one_by_one(open_gateway: OpenGateway) -> None:
    gateway = open_gateway(max_in_flight=1)
    before = scraped(gateway.http)

    async def crowd() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=30, trust_env=False) as http:
            bodies: list[dict[str, Any]] = [{"query": f"dress {n}", "timeout_ms": 10_000} for n in range(40)]
            return await asyncio.gather(*(http.post(SEARCH.format(alias="products"), json=body) for body in bodies))

    statuses = Counter(answer.status_code for answer in asyncio.run(crowd()))
    after = scraped(gateway.http)
    assert set(statuses) == {200, 503}
    assert increase(before, after, "vitrine_http_shed_total", reason="in_flight") == statuses[503]
    assert increase(before, after, "vitrine_http_errors_total", code="overloaded") == statuses[503]
    assert increase(before, after, "vitrine_http_requests_total", route=SEARCH, status="2xx") == statuses[200]
