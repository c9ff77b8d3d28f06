"""Does a setting that `vitrine tune` chooses hold on queries that it never saw?

Fills a local Milvus that this starts itself with made-up vectors that behave as CLIP's (see `clip_like.py`), tunes each
index to a target with text-like queries in the way of `vitrine tune` (half of them choose, half check), and then
searches as the gateway does, by the alias and without settings of its own, with a third set of queries.

    python loadtest/bench/tune_shown.py [--rows 105542] [--recall 0.95] [--p99-ms 20] [--index hnsw ...] [--json FILE]
        [--plots FOLDER]

Exit status: 0 when every index met the target and held it on the third set, 1 when one did not.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from clip_like import Shop
from local_milvus import local_milvus
from rich.console import Console

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Vectors
from vitrine.settings import MilvusSettings, Settings
from vitrine.tuning.frontier import least_mean
from vitrine.tuning.measure import Measurement, Trial, measure
from vitrine.tuning.plot import draw
from vitrine.tuning.queries import QueryKind, QuerySet
from vitrine.tuning.questions import answered
from vitrine.tuning.truth import ExactSearch
from vitrine.tuning.tune_job import Tuned, TuneRequest, settle, tune_by
from vitrine.tuning.tune_report import print_tuned
from vitrine.tuning.tuner import Target
from vitrine.tuning.written import parse_written
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.index_params import IndexParams
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

LONGEST_S = 3_600.0
UPSERT_ROWS = 2_000
ROUNDS = 3


@dataclass(frozen=True)
class Shown:
    """One index: what was chosen, and what queries said that had no part in it."""

    index: str
    before: dict[str, int]
    chosen: dict[str, int] | None
    tuning_recall: float
    held_out_recall: float
    third_recall: float
    third_least_recall: float
    third_p99_ms: float
    holds: bool


async def show(
    settings: MilvusSettings, index: IndexParams, vectors: Vectors, texts: Vectors, arguments: argparse.Namespace
) -> Shown:
    """Fills, tunes and searches by the alias."""
    alias = f"shown_{index.index_type.lower()}_{time.time_ns():x}"
    asked, third = _queries(texts[: arguments.queries]), _queries(texts[arguments.queries :])
    target = Target(arguments.recall, arguments.p99_ms)
    async with await MilvusConnection.open(settings) as connection:
        admin = CollectionAdmin(connection)
        await _fill(connection, alias, index, vectors)
        try:
            tuned = await _tuned(connection, TuneRequest(alias, target, queries=arguments.queries), asked)
            print_tuned(Console(width=110), tuned)
            if arguments.plots is not None:
                draw(tuned, arguments.plots / f"tune_{index.index_type.lower()}.png")
            measured = await _by_default(connection, alias, third, vectors, target.k)
        finally:
            await admin.remove_alias(alias)
            await admin.drop(f"{alias}_v1")
    recall, p99_ms, checked = measured.recall(target.k), measured.latency_ms(99), tuned.chosen
    return Shown(
        index=index.index_type,
        before=index.search_settings(),
        chosen=measured.trial.index.search_settings() if checked is not None else None,
        tuning_recall=checked.point.recall if checked is not None else 0.0,
        held_out_recall=checked.recall if checked is not None else 0.0,
        third_recall=recall,
        third_least_recall=least_mean(measured.recalls[target.k]),
        third_p99_ms=p99_ms,
        holds=checked is not None and recall >= target.recall and p99_ms <= target.p99_ms,
    )


async def _tuned(connection: MilvusConnection, request: TuneRequest, asked: QuerySet) -> Tuned:
    admin, until = CollectionAdmin(connection), Deadline.after(LONGEST_S)
    info = await admin.describe(request.collection)
    await admin.wait_index_served(info.name)
    questions = await answered(asked, request.target.k, admin, info, until, _silent)
    return await settle(
        connection, await tune_by(request, connection, info, questions, "made-up texts", until, _silent)
    )


async def _by_default(
    connection: MilvusConnection, alias: str, queries: QuerySet, vectors: Vectors, k: int
) -> Measurement:
    """Searches without settings of their own, of the collection behind the alias as a gateway sees it."""
    info = await CollectionDirectory(CollectionAdmin(connection)).resolve(alias, Deadline.after(30))
    truth = ExactSearch(queries, k)
    truth.take([_id(row) for row in range(len(vectors))], vectors)
    (measured,) = await measure(
        VectorSearcher(connection),
        [Trial("default", info.name, info.index)],
        queries,
        truth.neighbours(),
        ks=(k,),
        rounds=ROUNDS,
        deadline=Deadline.after(LONGEST_S),
    )
    return measured


async def _fill(connection: MilvusConnection, alias: str, index: IndexParams, vectors: Vectors) -> None:
    admin = CollectionAdmin(connection)
    info = await admin.create(CollectionSpec(f"{alias}_v1", vectors.shape[1], (), index, "0" * 64, "made up"))
    writer = CollectionWriter(connection, info)
    for start in range(0, len(vectors), UPSERT_ROWS):
        part = vectors[start : start + UPSERT_ROWS]
        await writer.upsert([_item(start + row, vector) for row, vector in enumerate(part)])
    await writer.flush()
    await admin.wait_index_built(info.name)
    await admin.release(info.name)
    await admin.load(info.name)
    await admin.point_alias(alias, info.name)


def _id(row: int) -> str:
    return f"{row:010}"


def _item(row: int, vector: Vectors) -> EmbeddedItem:
    return EmbeddedItem(CatalogueItem(_id(row), Path("x"), "", f"Item {row}", "", {}), vector)


def _queries(vectors: Vectors) -> QuerySet:
    return QuerySet(QueryKind.TEXT, vectors, ("",) * len(vectors))


def _silent(what: str, share: float) -> None:
    """Each table is shown when it is complete."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=105_542)
    parser.add_argument(
        "--queries", type=int, default=400, help="to choose and to check with; as many again at the end"
    )
    parser.add_argument("--recall", type=float, default=0.95)
    parser.add_argument("--p99-ms", type=float, default=20.0)
    parser.add_argument("--index", nargs="+", default=["hnsw:ef=16", "ivf_flat:nprobe=8"])
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, help="folder to draw each frontier into")
    arguments = parser.parse_args()
    shop = Shop(seed=arguments.seed)
    vectors, texts = shop.pictures(arguments.rows), shop.texts(2 * arguments.queries)
    with local_milvus(Settings().local.engines_dir) as server:
        settings = MilvusSettings(uri=server.uri, admin_timeout_s=LONGEST_S)
        shown = [
            asyncio.run(show(settings, index, vectors, np.ascontiguousarray(texts), arguments))
            for index in map(parse_written, arguments.index)
        ]
    print(
        f"\n{arguments.rows:,} x {vectors.shape[1]}, target: recall@10 {arguments.recall:g} within "
        f"{arguments.p99_ms:g} ms\n"
    )
    print("| index | before | chosen | recall, tuning | held out | third set (at least) | p99 ms | holds |")
    print("|---|---|---|---:|---:|---:|---:|---|")
    for one in shown:
        print(
            f"| {one.index} | {one.before} | {one.chosen} | {one.tuning_recall:.3f} | {one.held_out_recall:.3f} "
            f"| {one.third_recall:.3f} ({one.third_least_recall:.3f}) | {one.third_p99_ms:.1f} "
            f"| {'yes' if one.holds else 'no'} |"
        )
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(one) for one in shown], indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if all(one.holds for one in shown) else 1)


if __name__ == "__main__":
    main()
