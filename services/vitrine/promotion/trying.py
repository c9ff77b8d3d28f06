"""Tries a candidate before it is live: warms it, and compares its searches with exact ones and with the live ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitrine.domain import Deadline
from vitrine.embedding.encoder import Encoder
from vitrine.errors import ContractMismatch, DeadlineExceeded, EncoderUnavailable, InvalidInput, VitrineError
from vitrine.promotion.gates import DEPTH, Measured, ServedModel, Standing
from vitrine.tuning.measure import Measurement, Trial, measure
from vitrine.tuning.queries import QuerySet, image_queries, read_texts, text_queries, titles
from vitrine.tuning.truth import ExactNeighbours, exact_neighbours
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.searcher import VectorSearcher

_SERVED_WAIT_S: Final = 60.0
_TRITON_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Clients:
    """What a promotion asks.

    Args:
        admin: of the Milvus that has the collections.
        searcher: of the same.
        encoder: of the model repository in the settings; Triton may be away.
        wait_s: the longest that one kind of work may take, such as reading every vector.
    """

    admin: CollectionAdmin
    searcher: VectorSearcher
    encoder: Encoder
    wait_s: float


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which searches a candidate is tried with.

    Args:
        queries: how many.
        texts: file of them, one a line; None: titles of products, or stored vectors where Triton does not answer.
        warm_up: searches of each collection before the first that is timed: nobody has searched the candidate yet.
    """

    queries: int = 200
    texts: Path | None = None
    warm_up: int = 200


async def served_model(encoder: Encoder) -> ServedModel:
    """The model of the repository in the settings, and whether Triton serves it."""
    contract = encoder.contract
    why, reached = None, True
    try:
        await encoder.check_contract(Deadline.after(_TRITON_S))
    except ContractMismatch as error:
        why = error.message
    except (EncoderUnavailable, DeadlineExceeded) as error:
        why, reached = error.message, False
    return ServedModel(contract.model, contract.fingerprint, why, reached)


async def take_stock(
    admin: CollectionAdmin, candidate: CollectionInfo, live: CollectionInfo | None, on_progress: Progress
) -> Standing:
    """Loads the candidate and counts both, with strong consistency where they are loaded.

    Raises:
        VectorStoreUnavailable, DeadlineExceeded, CollectionNotReady: something cannot be counted.
    """
    rows = 0
    indexed: int | str = "half-made"
    if candidate.complete:
        await admin.load(candidate.name, on_progress=on_progress)
        rows = await admin.count(candidate.name)
        indexed = await _indexed(admin, candidate.name, on_progress)
    if live is None:
        return Standing(candidate, rows, indexed, None)
    # A live collection that was released serves nobody, and its estimate must do: to promote may be the remedy.
    return Standing(candidate, rows, indexed, live, await admin.count(live.name) if live.loaded else live.rows)


async def _indexed(admin: CollectionAdmin, name: str, on_progress: Progress) -> int | str:
    """Rows that searches find by the index; or why that is not so."""
    deadline = Deadline.after(_SERVED_WAIT_S)
    try:
        await admin.wait_index_built(name, deadline=deadline, on_progress=on_progress)
        await admin.wait_index_served(name, deadline=deadline, on_progress=on_progress)
        return await admin.indexed_rows(name)
    except VitrineError as error:
        return error.message


async def try_out(
    clients: Clients,
    standing: Standing,
    served: ServedModel,
    sampling: Sampling,
    *,
    recall: bool,
    on_progress: Progress,
) -> Measured:
    """Searches the candidate and the live collection with one sample of queries, turn by turn.

    Args:
        recall: compare with exact search, which reads every vector of the candidate.

    Raises:
        InvalidInput: the file of texts cannot be used.
        EncoderUnavailable: texts were given and Triton does not answer.
        VectorStoreUnavailable, DeadlineExceeded
    """
    candidate, live = standing.candidate, standing.live
    if standing.rows == 0:
        return Measured(why="the candidate is empty")
    deadline = Deadline.after(clients.wait_s)
    texts = None if sampling.texts is None else read_texts(sampling.texts, sampling.queries)
    queries, told = await _queries(clients, candidate, served, texts, sampling.queries, deadline)
    truth = await _truth(clients.admin, standing, queries, deadline, on_progress) if recall else _no_truth(queries)
    comparable = live is not None and live.loaded and standing.live_rows > 0 and live.dimension == candidate.dimension
    trials = [_trial("candidate", candidate), *([_trial("live", live)] if live is not None and comparable else [])]
    measurements = await measure(
        clients.searcher,
        trials,
        queries,
        truth,
        ks=(DEPTH,),
        warm_up=sampling.warm_up,
        deadline=deadline,
        on_progress=lambda share: on_progress(f"searching {candidate.name}", share),
    )
    overlap = None
    if live is not None and comparable and live.fingerprint == candidate.fingerprint:
        overlap = await _overlap(clients.searcher, trials, queries, deadline)
    return _told(measurements, recall=recall, overlap=overlap, queries=told)


async def _queries(
    clients: Clients,
    candidate: CollectionInfo,
    served: ServedModel,
    texts: list[str] | None,
    count: int,
    deadline: Deadline,
) -> tuple[QuerySet, str]:
    """The sample, and what it is in words. Texts come first: they are what shoppers send."""
    admin, searcher = clients.admin, clients.searcher
    if served.fingerprint == candidate.fingerprint and (served.triton is None or texts is not None):
        where = "texts" if texts is not None else "titles"
        try:
            if texts is None:
                texts = await titles(admin, searcher, candidate.name, count, deadline)
            return await text_queries(clients.encoder, texts, deadline), f"{len(texts)} {where}"
        except InvalidInput:
            if where == "texts":
                raise
    found = await image_queries(admin, searcher, candidate.name, count, deadline)
    return found, f"{len(found)} stored vectors"


async def _truth(
    admin: CollectionAdmin, standing: Standing, queries: QuerySet, deadline: Deadline, on_progress: Progress
) -> ExactNeighbours:
    candidate = standing.candidate
    (truth,) = await exact_neighbours(
        admin.vectors(candidate.name, candidate.dimension, deadline),
        [queries],
        DEPTH,
        lambda rows: on_progress(f"comparing every vector of {candidate.name}", min(1.0, rows / standing.rows)),
    )
    return truth


def _no_truth(queries: QuerySet) -> ExactNeighbours:
    nothing: tuple[tuple[str, ...], ...] = ((),) * len(queries)
    return ExactNeighbours(nothing, ((),) * len(queries), DEPTH)


def _trial(label: str, info: CollectionInfo) -> Trial:
    return Trial(label, info.name, info.index, fields=info.fields)


async def _overlap(searcher: VectorSearcher, trials: Sequence[Trial], queries: QuerySet, deadline: Deadline) -> float:
    """Mean share of the last trial's best hits that the first one gives too."""
    shares: list[float] = []
    for row in range(len(queries)):
        found = [
            await searcher.neighbours(
                trial.collection,
                queries.vectors[row : row + 1],
                limit=DEPTH,
                index=trial.index,
                fields=(),
                described=False,
                deadline=deadline,
            )
            for trial in trials
        ]
        candidate, live = ({*one[0].ids} for one in found)
        shares.append(len(candidate & live) / len(live) if live else 1.0)
    return sum(shares) / len(shares)


def _told(measurements: Sequence[Measurement], *, recall: bool, overlap: float | None, queries: str) -> Measured:
    candidate, *live = measurements
    return Measured(
        queries=queries,
        recall=candidate.recall(DEPTH) if recall else None,
        overlap=overlap,
        p99_ms=candidate.latency_ms(99),
        live_p99_ms=live[0].latency_ms(99) if live else None,
    )
