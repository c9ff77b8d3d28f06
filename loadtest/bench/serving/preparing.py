"""Everything that a run needs and that is kept between runs: models, vectors, collections."""

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from loadtest.bench.local_milvus import LocalMilvus
from loadtest.bench.serving.building import Models
from loadtest.bench.serving.collections import RECIPE, build_recipe, build_served, release, served
from loadtest.bench.serving.recall import LOGGED, TIMED
from loadtest.bench.serving.sizes import INDEX, LARGE_ROWS, PRECISIONS, Size
from loadtest.bench.serving.stack import triton_running
from loadtest.bench.serving.texts import short_texts
from loadtest.bench.serving.vectors import Products, kept_products
from loadtest.queries.log import read_queries
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.embedding.encoder import open_encoder
from vitrine.settings import LocalSettings, MilvusSettings, ModelSettings, Settings, TritonSettings
from vitrine.tuning.queries import text_queries

MILLION: Final = "million"
"""In place of a precision: the larger collection, which the gateways of reduced precision search."""
_EMBED_S: Final = 600.0
_BUILD_S: Final = 3_600.0


@dataclass(frozen=True)
class Prepared:
    """What is there once everything is built.

    Args:
        folder: of the size.
        models: checkpoint and repositories.
        contracts: by precision.
        texts: `size.texts` short ones, then the queries of the log, the most popular first.
        vectors: by precision and kind, float32 [size.judged, dim] of the first of each kind.
        products: that are searched.
        larger: of the million, where it is asked for.
    """

    folder: Path
    models: Models
    contracts: dict[str, ModelContract]
    texts: list[str]
    vectors: dict[str, dict[str, Vectors]]
    products: Products
    larger: Products | None


def prepare(size: Size, folder: Path, python: Path, engines: Path, *, large: bool) -> Prepared:
    """Builds what is missing below `folder`.

    Raises:
        BenchError: the environment with torch is missing.
        SystemExit: an engine does not start.
    """
    own = folder.absolute() / size.name
    models = Models(own / "models", python)
    contracts = models.build(size)
    short, logged = short_texts(size.texts), read_queries()
    judged = {TIMED: short[: size.judged], LOGGED: logged[: size.judged]}
    vectors = {
        precision: _embedded(models.repository(precision), contract, judged, engines, own)
        for precision, contract in contracts.items()
    }
    timed = vectors[PRECISIONS[0]][TIMED]
    products = kept_products(own / "products", size.rows, timed)
    larger = kept_products(own / MILLION, LARGE_ROWS, timed) if large else None
    prepared = Prepared(own, models, contracts, [*short, *logged], vectors, products, larger)
    _build_collections(prepared, size, engines)
    return prepared


def _embedded(
    repository: Path, contract: ModelContract, judged: dict[str, list[str]], engines: Path, folder: Path
) -> dict[str, Vectors]:
    """By a running Triton, as everything else here gets them; kept for the same model and texts."""
    texts = [text for kind in judged.values() for text in kind]
    named = hashlib.sha256("\n".join([contract.fingerprint, *texts]).encode()).hexdigest()
    kept = folder / "texts" / f"{named[:16]}.npy"
    if not kept.is_file():
        print(f"Embedding {len(texts)} texts in {contract.precision}", flush=True)
        with triton_running(repository, engines, folder / "preparing") as (local, _):
            vectors = asyncio.run(_ask(repository, local, texts))
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.save(kept, vectors)
    parts = np.split(np.load(kept), np.cumsum([len(kind) for kind in judged.values()])[:-1])
    return dict(zip(judged, parts, strict=True))


async def _ask(repository: Path, local: LocalSettings, texts: list[str]) -> Vectors:
    settings = Settings(
        model=ModelSettings(repository=repository),
        triton=TritonSettings(url=f"http://127.0.0.1:{local.triton_http_port}", timeout_s=60.0),
    )
    async with open_encoder(settings) as encoder:
        return (await text_queries(encoder, texts, Deadline.after(_EMBED_S))).vectors


def _build_collections(prepared: Prepared, size: Size, engines: Path) -> None:
    """Each is noted with its index when it is finished; what is not noted so is built from the start."""
    wanted = [RECIPE, *map(served, PRECISIONS), *([served(MILLION)] if prepared.larger is not None else [])]
    notes = prepared.folder / "built"
    notes.mkdir(exist_ok=True)
    missing = [name for name in wanted if not _is_noted(notes / name)]
    if not missing:
        return
    milvus = LocalMilvus(engines.absolute(), prepared.folder / "milvus-state")
    milvus.start()
    try:
        settings = MilvusSettings(uri=milvus.uri, admin_timeout_s=_BUILD_S)
        for name in missing:
            print(f"Building the collection {name}", flush=True)
            _build(name, prepared, size, settings)
            asyncio.run(release(settings, wanted))
            (notes / name).write_text(_note_of(name), encoding="utf-8")
    finally:
        milvus.stop()


def _is_noted(note: Path) -> bool:
    return note.is_file() and note.read_text(encoding="utf-8") == _note_of(note.name)


def _note_of(name: str) -> str:
    """Another index than the one that a collection was built with is another collection."""
    return "" if name == RECIPE else json.dumps(INDEX.describe())


def _build(name: str, prepared: Prepared, size: Size, settings: MilvusSettings) -> None:
    if name == RECIPE:
        build_recipe(settings.uri, prepared.products.vectors, size.nlist, size.merge_s)
    elif prepared.larger is not None and name == served(MILLION):
        contract = prepared.contracts[PRECISIONS[-1]]
        asyncio.run(build_served(settings, MILLION, contract, prepared.larger.vectors, size.merge_s))
    else:
        precision = next(one for one in PRECISIONS if served(one) == name)
        contract = prepared.contracts[precision]
        asyncio.run(build_served(settings, precision, contract, prepared.products.vectors, size.merge_s))
