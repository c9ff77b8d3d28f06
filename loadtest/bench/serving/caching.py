"""What a gateway's cache did for the queries of a stretch of time, from the gateway's own metrics."""

import re
from collections.abc import Mapping

from loadtest.bench.http_connection import Connection

_LINE = re.compile(rb'^vitrine_embedding_cache_requests_total\{kind="text",outcome="(\w+)"\} (\S+)', re.MULTILINE)


async def cache_counts(url: str) -> dict[str, float]:
    """Texts so far by what became of them: `hit`, `miss`, `coalesced`."""
    connection = await Connection.open(url)
    try:
        text = await connection.send(connection.request("GET", "/metrics"))
    finally:
        connection.close()
    return {outcome.decode(): float(count) for outcome, count in _LINE.findall(text)}


def share_of_hits(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Of the texts between two counts, those that were remembered; 0 where there were none."""
    asked = {outcome: count - before.get(outcome, 0.0) for outcome, count in after.items()}
    total = sum(asked.values())
    return asked.get("hit", 0.0) / total if total else 0.0
