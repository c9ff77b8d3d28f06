"""Where the queries of a tuning come from, and their exact answers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitrine.domain import Deadline
from vitrine.embedding.encoder import Encoder, open_encoder
from vitrine.errors import ContractMismatch, DeadlineExceeded, ModelInvalid, Unavailable
from vitrine.settings import Settings
from vitrine.tuning.queries import QueryKind, QuerySet, image_queries, read_texts, split, text_queries, titles
from vitrine.tuning.truth import exact_neighbours
from vitrine.tuning.tuner import Questions, require_enough
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.searcher import VectorSearcher

HELD_OUT: Final = 0.5
"""Share of the queries that have no part in the choice."""

_TRITON_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class QuerySource:
    """Which queries are wanted.

    Args:
        count: in all.
        kind: None: texts where the model answers, else pictures of the collection.
        texts: file of texts, one a line; None: titles of products.
    """

    count: int
    kind: QueryKind | None = None
    texts: Path | None = None


async def find_queries(
    source: QuerySource,
    settings: Settings,
    admin: CollectionAdmin,
    searcher: VectorSearcher,
    info: CollectionInfo,
    deadline: Deadline,
) -> tuple[str, QuerySet]:
    """The queries, and before them what they are in words.

    Raises:
        ContractMismatch: texts were asked for, and another model than the collection's would embed them.
        InvalidInput, LimitExceeded: too many, or there are none.
        EncoderUnavailable, VectorStoreUnavailable, DeadlineExceeded
    """
    if source.kind is not QueryKind.IMAGE:
        try:
            async with open_encoder(settings) as encoder:
                await _require_same_model(encoder, info)
                return await _texts(source, encoder, admin, searcher, info, deadline)
        except (Unavailable, ContractMismatch, ModelInvalid, DeadlineExceeded):
            if source.kind is QueryKind.TEXT or source.texts is not None:
                raise
    queries = await image_queries(admin, searcher, info.name, source.count, deadline)
    return "pictures of the collection", queries


async def answered(
    queries: QuerySet,
    depth: int,
    admin: CollectionAdmin,
    info: CollectionInfo,
    deadline: Deadline,
    on_progress: Callable[[str, float], None],
) -> Questions:
    """The queries in two halves, with their exact neighbours.

    Raises:
        InvalidInput: too few.
        VectorStoreUnavailable, DeadlineExceeded
    """
    require_enough(queries)
    tuning, held_out = split(queries, HELD_OUT)
    rows = max(1, info.rows)
    tuning_truth, held_out_truth = await exact_neighbours(
        admin.vectors(info.name, info.dimension, deadline),
        [tuning, held_out],
        depth,
        lambda seen: on_progress("exact neighbours", min(1.0, seen / rows)),
    )
    return Questions(tuning, tuning_truth, held_out, held_out_truth)


async def _require_same_model(encoder: Encoder, info: CollectionInfo) -> None:
    await encoder.check_contract(Deadline.after(_TRITON_S))
    if encoder.contract.fingerprint != info.fingerprint:
        raise ContractMismatch(
            f"Collection {info.name} was built with model fingerprint {info.fingerprint}; texts would be embedded by "
            f"{encoder.contract.fingerprint}.",
            owner=info.name,
            expected=info.fingerprint,
            found=encoder.contract.fingerprint,
        )


async def _texts(
    source: QuerySource,
    encoder: Encoder,
    admin: CollectionAdmin,
    searcher: VectorSearcher,
    info: CollectionInfo,
    deadline: Deadline,
) -> tuple[str, QuerySet]:
    if source.texts is not None:
        told, texts = f"texts of {source.texts.name}", read_texts(source.texts, source.count)
    else:
        told = "titles of products, as texts"
        texts = await titles(admin, searcher, info.name, source.count, deadline)
    return told, await text_queries(encoder, texts, deadline)
