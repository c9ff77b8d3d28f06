"""What a search is asked and what it answers, free of HTTP and of any engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from vitrine.domain import FieldSpec, FieldValue, Hit
from vitrine.errors import VitrineError
from vitrine.vectorstore.filters import FilterTree

QUERY_TRUNCATED = "query_truncated"
"""Warning: the text was longer than the model's context; its end had no influence."""
DEPTH_REACHED = "depth_reached"
"""Warning: there may be more hits, but not within the depth that a walk by cursor, or a search by group, can reach."""
PREVIOUS_COLLECTION = "previous_collection"
"""Warning: the alias points at a collection of another model already; the one before it was searched."""


@dataclass(frozen=True, slots=True)
class TextPart:
    """A text and its share in the query."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An encoded picture (JPEG, PNG, ...) and its share in the query."""

    data: bytes
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ItemPart:
    """A product already in the collection and its share in the query ("more like this")."""

    id: str
    weight: float = 1.0


QueryPart: TypeAlias = TextPart | ImagePart | ItemPart


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to look for and how much of it.

    Args:
        collection: an alias or a collection's own name.
        parts: at least one.
        limit: hits, or groups of them, on one page.
        offset: hits to pass over; not together with `cursor`.
        params: settings of the index for this search, such as {"ef": 128}.
        filter: what hits must satisfy.
        min_score: least cosine similarity of a hit.
        relative_cut: least share, from 0 to 1, of the best hit's score that a hit must have.
        group_by: a field; of hits that share its value only the best is given.
        facets: fields whose values are counted over the best hits.
        cursor: where the page before ended; the rest of the request must be the same.
        paged: give a cursor for the page after this one.
        audience: whom a cursor is for; one made for somebody else is refused.
        with_vectors: also give each hit's vector.
    """

    collection: str
    parts: tuple[QueryPart, ...]
    limit: int
    offset: int = 0
    params: Mapping[str, int] = field(default_factory=dict)
    filter: FilterTree | None = None
    min_score: float | None = None
    relative_cut: float | None = None
    group_by: str | None = None
    facets: tuple[str, ...] = ()
    cursor: str | None = None
    paged: bool = False
    audience: str = ""
    with_vectors: bool = False


@dataclass(frozen=True, slots=True)
class FacetCount:
    """A value of a field and how many of the counted hits have it."""

    value: FieldValue
    count: int


@dataclass(frozen=True, slots=True)
class Facet:
    """Values of one field, most frequent first, and the counted hits that have none."""

    field: str
    values: tuple[FacetCount, ...]
    missing: int
    others: int
    """Hits whose value is not among `values`, because only so many are listed."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and what they came from.

    Args:
        hits: with `group_by`, each with the number of its `siblings`.
        collection: the collection's own name.
        model: name of the embedding model.
        fingerprint: of its contract.
        warnings: codes.
        fields: of the collection.
        next_cursor: for the next page; None when this is the last.
        facets: in the order they were asked for.
        facets_over: how many hits were counted for them.
    """

    hits: tuple[Hit, ...]
    collection: str
    model: str
    fingerprint: str
    warnings: tuple[str, ...]
    fields: tuple[FieldSpec, ...]
    next_cursor: str | None = None
    facets: tuple[Facet, ...] = ()
    facets_over: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a readiness report; `error` is None when all is well."""

    name: str
    error: VitrineError | None
