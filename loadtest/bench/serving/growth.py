"""The same answer over 105,542 and over a million products, at equal recall, behind one gateway."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadtest.bench.http_connection import BenchError
from loadtest.bench.local_milvus import LocalMilvus
from loadtest.bench.serving.collections import adopt, load, served
from loadtest.bench.serving.in_turns import call_in_turns
from loadtest.bench.serving.loading import Tuned
from loadtest.bench.serving.preparing import MILLION, Prepared
from loadtest.bench.serving.recall import MOST_EF, SHOP, Found, RecallOf, truth_of
from loadtest.bench.serving.sizes import PRECISIONS, RECALL, Size
from loadtest.bench.serving.stack import Running, gateway_name
from loadtest.bench.serving.systems import gateway_system
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection


@dataclass(frozen=True)
class Growth:
    """Medians of whole answers in turns, the model's part included.

    Args:
        rows: products of the two collections.
        ef: HNSW's setting of each, by which both reach the same recall.
        recall: at that setting, by kind of text, of each.
        p50_ms: of each.
        memory_mb: anonymous memory that Milvus took more for the larger one.
    """

    rows: tuple[int, int]
    ef: tuple[int, int]
    recall: tuple[dict[str, Found], dict[str, Found]]
    p50_ms: tuple[float, float]
    memory_mb: float

    @property
    def ratio(self) -> float:
        """How many times as long the larger one takes."""
        return self.p50_ms[1] / self.p50_ms[0]


async def grown(
    prepared: Prepared,
    size: Size,
    tuned: Tuned,
    running: Running,
    milvus: LocalMilvus,
    tell: Callable[[str], None],
) -> Growth:
    """Loads the larger collection, gives it the ef that the same recall needs, and compares whole answers.

    Of the reduced precision without a cache, where the search is the largest part of an answer.

    Raises:
        BenchError: there is no larger collection, or no ef suffices.
    """
    larger, precision = prepared.larger, PRECISIONS[-1]
    if larger is None:
        raise BenchError("There is no larger collection.")
    tell(f"Growth: loading {len(larger.vectors):,} products")
    name = served(MILLION)
    before = milvus.settled_memory(size.settle_s)
    async with await MilvusConnection.open(MilvusSettings(uri=milvus.uri)) as connection:
        await load(connection, name)
        taken = milvus.settled_memory(size.settle_s) - before
        info = await CollectionAdmin(connection).describe(name)
        queries = {SHOP: larger.shop_texts, **prepared.vectors[precision]}
        truths = {kind: truth_of(asked, larger.vectors) for kind, asked in queries.items()}
        search = RecallOf(connection, info, queries, truths)
        ef = await search.least_ef()
        if ef is None:
            raise BenchError(f"No ef up to {MOST_EF} reaches a recall of {RECALL:g} over {name}.")
        recall = await search.at(ef)
        await adopt(connection, name, prepared.contracts[precision], ef)
    url = running.gateways[gateway_name(precision, "uncached")]
    rows = np.arange(size.rounds)
    smaller, bigger = (
        gateway_system(precision, "uncached", url, prepared.texts, rows, collection=collection)
        for collection in (served(precision), name)
    )
    tell(f"Growth: ef {tuned.ef} and {ef}, {size.rounds} calls of each in turns")
    calls = await call_in_turns([smaller, bigger], rows)
    p50 = [float(np.median(calls[system.name].seconds)) * 1000 for system in (smaller, bigger)]
    return Growth(
        rows=(len(prepared.products.vectors), len(larger.vectors)),
        ef=(tuned.ef, ef),
        recall=(dict(tuned.recall[served(precision)]), recall),
        p50_ms=(p50[0], p50[1]),
        memory_mb=taken / 1e6,
    )
