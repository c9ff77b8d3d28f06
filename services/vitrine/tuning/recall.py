"""Composition root of `vitrine recall`: opens Milvus and, for texts, the model; measures settings side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitrine.domain import Deadline
from vitrine.embedding.encoder import open_encoder
from vitrine.errors import (
    ContractMismatch,
    DeadlineExceeded,
    InvalidInput,
    LimitExceeded,
    ModelInvalid,
    Unavailable,
)
from vitrine.settings import Settings
from vitrine.tuning.knobs import knob_of
from vitrine.tuning.measure import Measurement, Trial, measure
from vitrine.tuning.queries import QueryKind, QuerySet, image_queries, read_texts, text_queries, titles
from vitrine.tuning.sizing import Extent, footprint
from vitrine.tuning.trial_builds import LONGEST, drop_leftovers, trial_build
from vitrine.tuning.truth import ExactNeighbours, exact_neighbours
from vitrine.tuning.written import split_written
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import RERANK, IndexParams, parse_index
from vitrine.vectorstore.searcher import VectorSearcher

KS: Final = (10, 100)
MAX_SETTINGS: Final = 64
"""Settings of one comparison."""

_CONTRACT_S: Final = 5.0
_LADDER: Final = (0.25, 0.5, 1, 2, 4)  # of the default, where nobody says what to compare
_RERANKED: Final = 10

Asked = list[tuple[QuerySet, ExactNeighbours]]


@dataclass(frozen=True, slots=True)
class RecallRequest:
    """What `vitrine recall` shall compare.

    Args:
        collection: a name or an alias.
        indexes: each a kind with settings, `hnsw:ef=128`; what is not said is the collection's own where only settings
            of a search differ, else the kind's default. None: the collection's own index with several values of its
            main setting.
        build: make copies of the collection for indexes that it does not have.
        texts: file of them, one a line; None: titles of products.
        queries: of each kind.
        rounds: how often each query is timed.
        max_minutes: the longest that all of it may take.
    """

    collection: str
    indexes: tuple[str, ...] = ()
    build: bool = False
    texts: Path | None = None
    queries: int = 200
    rounds: int = 3
    max_minutes: float = 30.0

    def check(self) -> None:
        """Raises LimitExceeded: a figure out of bounds."""
        longest = LONGEST.total_seconds() / 60
        if not 0 < self.max_minutes <= longest:
            raise LimitExceeded(f"max-minutes must be more than 0 and at most {longest:g}.", maximum=longest)
        if len(self.indexes) > MAX_SETTINGS:
            raise LimitExceeded(f"At most {MAX_SETTINGS} settings can be compared.", maximum=MAX_SETTINGS)
        if self.rounds < 1:
            raise LimitExceeded("rounds must be at least 1.", minimum=1)


@dataclass(frozen=True, slots=True)
class Compared:
    """One setting.

    Args:
        index: with the settings of its searches.
        built: on a copy of the collection.
        measured: by kind of query.
        memory_bytes: of the index alone, computed; see docs/sizing.md.
    """

    index: IndexParams
    built: bool
    measured: Mapping[QueryKind, Measurement]
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class RecallReport:
    """What was measured.

    Args:
        collection: whose vectors.
        queries: what they were, for people, by kind.
        counts: how many, by kind.
        compared: in the order asked for, those on copies last.
        notes: what could not be done.
    """

    collection: CollectionInfo
    queries: Mapping[QueryKind, str]
    counts: Mapping[QueryKind, int]
    compared: tuple[Compared, ...]
    notes: tuple[str, ...]


def resolve_index(own: IndexParams, written: str) -> tuple[IndexParams, bool]:
    """What `KIND:NAME=VALUE,...` means for a collection, and whether the collection's own build serves it.

    Raises:
        InvalidInput: not of that form, or no such kind, setting or word.
        LimitExceeded: a number out of bounds.
    """
    kind, typed = split_written(written)
    meant = parse_index(kind, typed)
    if type(meant) is not type(own):
        return meant, False
    if set(typed) <= set(own.search_names):
        chosen = {name: value for name, value in meant.settings().items() if name in typed}
        return own.with_search({name: int(value) for name, value in chosen.items()}), True
    return meant, meant.build_params() == own.build_params()


def ladder(own: IndexParams) -> list[IndexParams]:
    """A collection's own index with several values of its main search setting, and reranked where it can be."""
    knob = knob_of(own, KS[0])
    if knob is None:
        return [own]
    middle = int(own.settings()[knob.name])
    values = sorted({min(max(round(share * middle), knob.least), knob.most) for share in _LADDER})
    steps = [own.with_search({knob.name: value}) for value in values]
    if RERANK in own.search_names and not own.settings()[RERANK]:
        steps.append(own.with_search({RERANK: _RERANKED}))
    return steps


async def run_recall(request: RecallRequest, settings: Settings, on_progress: Progress) -> RecallReport:
    """Compares settings by recall against exact search, latency and memory.

    Raises:
        InvalidInput: an index that the collection does not have, without `build`; or see `resolve_index`.
        CollectionNotFound, CollectionNotReady: there is no such collection, or it cannot be searched.
        ContractMismatch: a file of texts was given, and another model than the collection's would embed them.
        VectorStoreUnavailable, EncoderUnavailable, DeadlineExceeded
    """
    request.check()
    deadline = Deadline.after(request.max_minutes * 60)
    async with await MilvusConnection.open(settings.milvus) as connection:
        admin, searcher = CollectionAdmin(connection), VectorSearcher(connection)
        info = await admin.describe(request.collection)
        own, others = _sorted(request, info)
        await admin.wait_index_served(info.name, deadline=deadline, on_progress=on_progress)
        told, sets, notes = await _queries(request, settings, admin, searcher, info, deadline)
        truths = await exact_neighbours(
            admin.vectors(info.name, info.dimension, deadline),
            list(sets),
            KS[-1],
            lambda seen: on_progress("exact neighbours", min(1.0, seen / max(1, info.rows))),
        )
        comparing = _Comparing(
            searcher, list(zip(sets, truths, strict=True)), info.rows, request.rounds, deadline, on_progress
        )
        compared = await comparing.compare(info, own, built=False)
        if others:
            await drop_leftovers(admin)
        for group in _by_build(others):
            try:
                async with trial_build(connection, info, group[0], deadline, on_progress) as copy:
                    compared += await comparing.compare(copy, group, built=True)
            except (InvalidInput, DeadlineExceeded) as error:
                notes.append(f"{group[0].index_type} was not measured: {error.message}")
    return RecallReport(info, told, {one.kind: len(one) for one in sets}, tuple(compared), tuple(notes))


def _sorted(request: RecallRequest, info: CollectionInfo) -> tuple[list[IndexParams], list[IndexParams]]:
    """Settings that the collection's own build serves, and those that need another."""
    if not request.indexes:
        return ladder(info.index), []
    resolved = [resolve_index(info.index, written) for written in request.indexes]
    own = [index for index, served in resolved if served]
    others = [index for index, served in resolved if not served]
    for index in others:
        index.check_dimension(info.dimension)
    if others and not request.build:
        kinds = ", ".join(dict.fromkeys(index.index_type for index in others))
        raise InvalidInput(
            f"{info.name} is built as {info.index.index_type} with {info.index.build_params()}; with --build, copies "
            f"of it are made to measure {kinds} as written.",
            collection=info.name,
        )
    return own, others


def _by_build(indexes: Sequence[IndexParams]) -> list[list[IndexParams]]:
    groups: dict[tuple[str, str], list[IndexParams]] = {}
    for index in indexes:
        groups.setdefault((index.index_type, repr(index.build_params())), []).append(index)
    return list(groups.values())


class _Comparing:
    """Measures settings of one build after the other with the same queries."""

    def __init__(
        self,
        searcher: VectorSearcher,
        asked: Asked,
        rows: int,
        rounds: int,
        deadline: Deadline,
        on_progress: Progress,
    ) -> None:
        self._searcher = searcher
        self._asked = asked
        self._rows = rows
        self._rounds = rounds
        self._deadline = deadline
        self._on_progress = on_progress

    async def compare(self, info: CollectionInfo, indexes: Sequence[IndexParams], *, built: bool) -> list[Compared]:
        """Settings of one collection, which take turns at each query."""
        trials = [Trial(str(number), info.name, index, fields=info.fields) for number, index in enumerate(indexes)]
        measured: list[dict[QueryKind, Measurement]] = [{} for _ in trials]
        for queries, truth in self._asked if trials else ():
            found = await measure(
                self._searcher,
                trials,
                queries,
                truth,
                ks=KS,
                rounds=self._rounds,
                deadline=self._deadline,
                on_progress=lambda share: self._on_progress(f"searching {info.name}", share),
            )
            for one, by_kind in zip(found, measured, strict=True):
                by_kind[queries.kind] = one
        extent = Extent(max(1, self._rows), info.dimension)
        return [
            Compared(index, built, by_kind, footprint(index, extent).memory)
            for index, by_kind in zip(indexes, measured, strict=True)
        ]


async def _queries(
    request: RecallRequest,
    settings: Settings,
    admin: CollectionAdmin,
    searcher: VectorSearcher,
    info: CollectionInfo,
    deadline: Deadline,
) -> tuple[dict[QueryKind, str], list[QuerySet], list[str]]:
    """The queries in words and as vectors, and what could not be had."""
    told: dict[QueryKind, str] = {}
    sets: list[QuerySet] = []
    notes: list[str] = []
    try:
        async with open_encoder(settings) as encoder:
            await encoder.check_contract(Deadline.after(_CONTRACT_S))
            encoder.contract.require(info.fingerprint, f"Collection {info.name}")
            if request.texts is not None:
                told[QueryKind.TEXT] = f"texts of {request.texts.name}"
                texts = read_texts(request.texts, request.queries)
            else:
                told[QueryKind.TEXT] = "titles of products"
                texts = await titles(admin, searcher, info.name, request.queries, deadline)
            sets.append(await text_queries(encoder, texts, deadline))
    except (Unavailable, ContractMismatch, ModelInvalid) as error:
        if request.texts is not None:
            raise
        notes.append(f"No text queries, which an index finds harder than pictures: {error.message}")
        told.pop(QueryKind.TEXT, None)
    told[QueryKind.IMAGE] = "pictures of the collection"
    sets.append(await image_queries(admin, searcher, info.name, request.queries, deadline))
    return told, sets, notes
