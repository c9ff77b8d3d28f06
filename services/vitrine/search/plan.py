"""What a request comes to in its collection. All that can be refused is refused here, before any engine works."""

from dataclasses import dataclass
from typing import Final

from vitrine.domain import FieldSpec
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.search.cursor import Position
from vitrine.search.facets import facet_fields
from vitrine.search.grouping import Grouping, grouping_of
from vitrine.search.request import ItemPart, SearchRequest
from vitrine.settings import SearchSettings
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.filters import compile_filter, excluding_ids
from vitrine.vectorstore.searcher import MAX_NEIGHBOURS, check_window

# Up to here all values come with the neighbours; for more rows it is faster to ask for ids first, and then for the
# values of those on the page. With the twelve fields of the H&M mapping, on one machine: 200 rows 3.7 ms against 5.1,
# 500 rows 5.9 against 6.5, 1,000 rows 9.7 against 8.5.
DESCRIBED_ROWS: Final = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """One search, ready for its vector.

    Args:
        request: what was asked.
        collection: the one collection it sees.
        expression: Milvus's, of the filter and the products that are the query.
        grouping: None where every hit stands for itself.
        facets: fields to count.
        position: where the walk stands; None on a first page.
        limit: hits or groups to give.
        paged: whether a cursor may follow.
        rows: neighbours to ask for.
        offset: of which Milvus passes over so many more.
        skipped: hits or groups that are passed over here.
        described: whether the neighbours come with all that a page shows.
    """

    request: SearchRequest
    collection: CollectionInfo
    expression: str
    grouping: Grouping | None
    facets: tuple[FieldSpec, ...]
    position: Position | None
    limit: int
    paged: bool
    rows: int
    offset: int
    skipped: int
    described: bool

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """Those that the neighbours come with."""
        if self.described:
            return self.collection.fields
        grouped = () if self.grouping is None or self.grouping.field is None else (self.grouping.field,)
        return tuple(dict.fromkeys((*self.facets, *grouped)))

    @property
    def with_vectors(self) -> bool:
        """Whether the neighbours come with their vectors."""
        return self.described and self.request.with_vectors

    @property
    def shared(self) -> tuple[object, ...]:
        """What two plans must have in common for their vectors to go to Milvus in one call."""
        params = tuple(sorted(self.request.params.items()))
        window = (self.collection.name, self.collection.build_id, self.expression, self.rows, self.offset)
        return (*window, self.described, self.with_vectors, self.fields, params)


def make_plan(
    request: SearchRequest, collection: CollectionInfo, position: Position | None, settings: SearchSettings
) -> Plan:
    """Checks a request against its collection.

    Raises:
        InvalidInput, LimitExceeded, FilterInvalid: see `Searcher.search`.
    """
    _check(request)
    if request.params:
        collection.index.search_params(request.params, limit=request.offset + request.limit)
    grouping = None if request.group_by is None else grouping_of(request.group_by, collection)
    facets = () if position is not None else facet_fields(request.facets, collection.fields, settings.max_facets)
    limit, paged = request.limit, request.paged and request.offset == 0
    seen = 0 if position is None else len(position.seen)
    if position is not None:
        limit = max(0, min(limit, settings.max_depth - seen))
    if grouping is not None and request.offset and request.offset + limit > settings.max_depth:
        raise LimitExceeded(
            f"With `group_by`, `offset` + `limit` is {settings.max_depth} at most.", maximum=settings.max_depth
        )
    ahead = limit + (1 if paged else 0)  # one more tells whether there is a next page
    # Milvus does not say what it passed over: the best hit's score, the groups and the counted values are among it.
    here = bool(facets) or grouping is not None or request.relative_cut is not None
    skipped, offset = (request.offset, 0) if here else (0, request.offset)
    behind = 0 if position is None else max(position.rows, seen)
    rows = behind + skipped + ahead if grouping is None else grouping.first_rows(behind, skipped + ahead)
    rows = min(max(rows, settings.facet_depth if facets else 1), MAX_NEIGHBOURS - offset)
    return Plan(
        request=request,
        collection=collection,
        expression=_expression(request, collection),
        grouping=grouping,
        facets=facets,
        position=position,
        limit=limit,
        paged=paged,
        rows=rows,
        offset=offset,
        skipped=skipped,
        described=rows <= DESCRIBED_ROWS and not (request.with_vectors and rows > ahead),
    )


def _check(request: SearchRequest) -> None:
    if not request.parts:
        raise InvalidInput("A query needs at least one part.")
    if request.cursor is not None and request.offset:
        raise InvalidInput("A cursor says where to go on: `offset` cannot be used with it.", field="offset")
    check_window(request.limit, request.offset)
    for name, value, least in (("min_score", request.min_score, -1.0), ("relative_cut", request.relative_cut, 0.0)):
        if value is not None and not least <= value <= 1.0:
            raise InvalidInput(f"`{name}` is a number from {least:g} to 1.", field=name, minimum=least, maximum=1)


def _expression(request: SearchRequest, collection: CollectionInfo) -> str:
    """Products used as a query are not among their own hits."""
    own_ids = [part.id for part in request.parts if isinstance(part, ItemPart)]
    tree = excluding_ids(request.filter, own_ids) if own_ids else request.filter
    return "" if tree is None else compile_filter(tree, collection.fields, collection.group_name)
