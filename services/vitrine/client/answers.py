"""What the API answers, typed. Members that a newer server adds are passed over, so that an older client goes on."""

from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

FieldValue: TypeAlias = str | int | float | bool


class Answer(BaseModel):
    """Base of all answers; they cannot be changed."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())


class Item(Answer):
    """One product."""

    id: str
    title: str = ""
    group: str = ""
    image_url: str | None = None
    metadata: Mapping[str, FieldValue] = {}


class SearchHit(Item):
    """One product found. `score` is cosine similarity, higher is better.

    `siblings` counts further products of its group, where the search was grouped; `vector` is there when asked for.
    """

    score: float
    siblings: int | None = None
    vector: tuple[float, ...] | None = None


class SearchModel(Answer):
    """The embedding model that answered."""

    name: str
    fingerprint: str


class FacetValue(Answer):
    """A value and how many of the counted hits have it."""

    value: FieldValue
    count: int


class Facet(Answer):
    """The values of one field, most frequent first.

    `missing` hits have none, `others` have one that is not listed.
    """

    values: tuple[FacetValue, ...]
    missing: int = 0
    others: int = 0


class SearchAnswer(Answer):
    """The answer to one search.

    `took_ms` holds the server's own times by stage and `total`; `next_cursor` leads to the next page, if any;
    `facets`, by field, count the best `facets_over` hits.
    """

    hits: tuple[SearchHit, ...]
    took_ms: Mapping[str, float]
    collection: str
    model: SearchModel
    next_cursor: str | None = None
    facets: Mapping[str, Facet] = {}
    facets_over: int | None = None
    degraded: bool = False
    warnings: tuple[str, ...] = ()
    request_id: str = ""


class CollectionIndex(Answer):
    """The index of a collection, with Milvus's own parameter names."""

    type: str
    params: Mapping[str, FieldValue] = {}
    search_params: Mapping[str, int] = {}


class CollectionField(Answer):
    """One typed field of a collection; `max_bytes` of a text, in UTF-8."""

    name: str
    type: str
    filterable: bool = True
    facetable: bool = False
    max_bytes: int | None = None


class LoadState(Answer):
    """How much of a collection is in memory: `state` is released, loading or loaded, `progress` a share from 0 to 1."""

    name: str
    state: str
    progress: float


class Collection(LoadState):
    """One collection; `rows` is an estimate, `group_name` what its catalogue calls the group."""

    aliases: tuple[str, ...] = ()
    rows: int
    dimension: int
    index: CollectionIndex
    model: SearchModel
    fields: tuple[CollectionField, ...]
    group_name: str = ""
    loaded: bool
    created_at: datetime


class Limit(Answer):
    """The most of something that the server accepts; more is answered with `code`."""

    name: str
    value: int | float | tuple[str, ...]
    unit: str
    setting: str | None = None
    code: str | None = None
    description: str = ""


class Embeddings(Answer):
    """Vectors of unit length, in the order of what was embedded; `prompt_tokens` are ids that the model read."""

    vectors: tuple[tuple[float, ...], ...]
    model: str
    prompt_tokens: int = 0
    warnings: tuple[str, ...] = ()


class StoredItem(Item):
    """A product as it is stored now; `created` is false where it replaced one."""

    created: bool
    collection: str
    request_id: str = ""


class WriteOutcome(Answer):
    """What became of one entry of a bulk request; where it was refused, `code` and `detail` say why."""

    id: str | None = None
    status: int
    code: str | None = None
    detail: str | None = None
    details: Mapping[str, Any] | None = None


class BulkOutcome(Answer):
    """What became of every entry, in the order sent, and the one collection that was written to."""

    collection: str
    read: int
    rejected: int
    results: tuple[WriteOutcome, ...]
    took_ms: Mapping[str, float] = {}
    request_id: str = ""

    @property
    def refused(self) -> tuple[WriteOutcome, ...]:
        """The entries that were not done."""
        return tuple(outcome for outcome in self.results if outcome.status >= HTTPStatus.BAD_REQUEST)


class BulkWritten(BulkOutcome):
    """read = written + rejected."""

    written: int


class BulkDeleted(BulkOutcome):
    """read = deleted + rejected."""

    deleted: int


class Check(Answer):
    """One line of a readiness report."""

    name: str
    ok: bool
    code: str | None = None
    detail: str | None = None
    details: Mapping[str, Any] | None = None


class Readiness(Answer):
    """Whether a search would work now, and if not, why."""

    ready: bool
    fingerprint: str = ""
    checks: tuple[Check, ...] = ()
    code: str | None = None
    detail: str | None = None
