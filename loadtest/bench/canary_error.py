"""How near is the recall canary to the truth, and from how much of a collection?

Fills a Milvus of its own with vectors that behave like CLIP's (see clip_like.py), builds one index after the other, and
runs canaries with different orders of samples until each has seen the whole collection. After each run the canary's
figure stands beside the true recall@10 of the very same searches, which exact search over all vectors tells.

    make engines
    python loadtest/bench/canary_error.py [--rows 20000] [--queries 100] [--sample 1000] [--canaries 3] [--json FILE]
"""

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Final, cast

import numpy as np
from clip_like import Shop
from local_milvus import local_milvus

from vitrine.domain import CatalogueItem, Deadline, EmbeddedItem, Vectors
from vitrine.embedding.encoder import EncodedTexts, Encoder
from vitrine.gateway.canary.recall import Figure, RecallCanary
from vitrine.search.searcher import Searcher
from vitrine.settings import CanarySettings, MilvusSettings
from vitrine.telemetry.stages import StageClock
from vitrine.tuning.queries import QueryKind, QuerySet
from vitrine.tuning.truth import ExactNeighbours, ExactSearch
from vitrine.tuning.written import parse_written
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo, CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.sampling import SampleReader
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.writer import CollectionWriter

K: Final = 10
DEFAULT: Final = ("hnsw:ef=64", "hnsw:ef=12", "ivf_pq:nlist=128,m=8,nprobe=16")
_BATCH: Final = 4_096
_FINGERPRINT: Final = "f" * 64
_RUN_S: Final = 300.0


class DrawnQueries:
    """Stands in for the model: a text is the number of a drawn vector."""

    contract = SimpleNamespace(fingerprint=_FINGERPRINT, model="drawn", require=lambda _fingerprint, _owner: None)

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    async def encode_texts(self, texts: Sequence[str], deadline: Deadline, clock: StageClock) -> EncodedTexts:
        """Float32 [n, dim], in the order of the texts."""
        return EncodedTexts(self._vectors[[int(text) for text in texts]], (False,) * len(texts))


@dataclass(frozen=True)
class Told:
    """One run of one canary."""

    seen: float
    found: int
    neighbours: int
    seconds: float


async def _answers(connection: MilvusConnection, info: CollectionInfo, queries: Vectors) -> list[list[str]]:
    searcher, answers = VectorSearcher(connection), []
    for query in queries:
        (found,) = await searcher.neighbours(
            info.name, query[np.newaxis], limit=K, index=info.index, fields=(), deadline=Deadline.after(60)
        )
        answers.append(list(found.ids))
    return answers


def _recall(truth: ExactNeighbours, answers: Sequence[Sequence[str]]) -> float:
    return float(np.mean([truth.recall(row, found, K) for row, found in enumerate(answers)]))


async def _filled(
    admin: CollectionAdmin, connection: MilvusConnection, index: str, ids: list[str], vectors: Vectors
) -> CollectionInfo:
    kind = index.partition(":")[0]
    spec = CollectionSpec(f"canary_{kind}", vectors.shape[1], (), parse_written(index), _FINGERPRINT, "drawn")
    info = await admin.create(spec)
    writer = CollectionWriter(connection, info)
    for start in range(0, len(ids), _BATCH):
        items = [
            EmbeddedItem(CatalogueItem(one, Path("x"), "x.jpg", one, "", {}), vector)
            for one, vector in zip(ids[start : start + _BATCH], vectors[start : start + _BATCH], strict=True)
        ]
        await writer.upsert(items)
    await writer.flush()
    await admin.wait_index_built(info.name)
    await admin.wait_index_served(info.name, deadline=Deadline.after(600))
    return info


async def _walked(
    connection: MilvusConnection, info: CollectionInfo, queries: Vectors, sample: int, seed: int
) -> list[Told]:
    """Runs a canary until it has seen all there is."""
    reader = SampleReader(connection)
    encoder = cast("Encoder", DrawnQueries(queries))
    searcher = Searcher(encoder, CollectionDirectory(reader), VectorSearcher(connection))
    texts = [str(number) for number in range(len(queries))]
    canary = RecallCanary(searcher, reader, info.name, texts, CanarySettings(sample=sample, depth=K), Random(seed))
    told: list[Told] = []
    while not told or told[-1].seen < 1.0:
        began = time.perf_counter()
        figure: Figure = await canary.run(Deadline.after(_RUN_S))
        told.append(Told(figure.seen, figure.found, figure.neighbours, time.perf_counter() - began))
    return told


async def _measured(args: argparse.Namespace, uri: str) -> list[dict[str, object]]:
    shop = Shop(seed=args.seed)
    vectors, queries = shop.pictures(args.rows), shop.texts(args.queries)
    ids = [f"{row:010d}" for row in range(args.rows)]
    search = ExactSearch(QuerySet(QueryKind.TEXT, queries, ("",) * len(queries)), K)
    search.take(ids, vectors)
    truth, lines = search.neighbours(), []
    async with await MilvusConnection.open(MilvusSettings(uri=uri, search_timeout_s=60.0)) as connection:
        admin = CollectionAdmin(connection)
        for index in args.index or DEFAULT:
            info = await _filled(admin, connection, index, ids, vectors)
            # Before, between and after: Milvus joins segments when it likes, and an index of fewer finds less.
            true = [_recall(truth, await _answers(connection, info, queries))]
            canaries: list[list[Told]] = []
            for seed in range(args.canaries):
                canaries.append(await _walked(connection, info, queries, args.sample, seed))
                true.append(_recall(truth, await _answers(connection, info, queries)))
            lines.append({"index": index, "true": true, "canaries": [[asdict(one) for one in c] for c in canaries]})
            _print(index, true, canaries)
            await admin.drop(info.name)
    return lines


def _print(index: str, true: Sequence[float], canaries: Sequence[Sequence[Told]]) -> None:
    """The mean and the spread over the canaries, at some of the shares they went through."""
    print(f"\n{index}: true recall@{K} {', '.join(f'{one:.3f}' for one in true)}")
    by_share: dict[float, list[Told]] = defaultdict(list)
    for told in canaries:
        for wanted in (0.05, 0.1, 0.25, 0.5, 1.0):
            by_share[wanted].append(next(one for one in told if one.seen >= wanted))
    for wanted, runs in by_share.items():
        figures = [one.found / one.neighbours for one in runs if one.neighbours]
        neighbours = np.mean([one.neighbours for one in runs])
        error = np.sqrt(np.mean((np.array(figures) - true[-1]) ** 2))
        print(
            f"  seen >= {wanted:4.0%}  neighbours {neighbours:6.0f}  canary {np.mean(figures):.3f}  "
            f"from {min(figures):.3f} to {max(figures):.3f}  root mean square error "
            f"{error:.3f}  run {np.median([r.seconds for r in runs]):.2f} s"
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--sample", type=int, default=1_000)
    parser.add_argument("--canaries", type=int, default=3)
    parser.add_argument("--index", nargs="*", help="such as hnsw:ef=64")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--engines-dir", type=Path, default=Path(".engines"))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with local_milvus(args.engines_dir) as milvus:
        lines = asyncio.run(_measured(args, milvus.uri))
    if args.json is not None:
        args.json.write_text(
            json.dumps({"arguments": vars(args) | {"json": ""}, "lines": lines}, default=str, indent=1)
        )


if __name__ == "__main__":
    main()
