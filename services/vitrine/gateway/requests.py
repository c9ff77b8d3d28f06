"""What was sent, turned into what `Searcher` understands, within the limits of the settings."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from pydantic import TypeAdapter, ValidationError

from vitrine.domain import Deadline
from vitrine.errors import FilterInvalid, LimitExceeded, QueryEmpty, VitrineError
from vitrine.gateway.auth.principal import Principal, Scope
from vitrine.gateway.bodies import findings_of, invalid_input
from vitrine.gateway.bounds import bounds_of
from vitrine.gateway.dependencies import Services
from vitrine.gateway.pictures import Pictures
from vitrine.gateway.schemas.multi_search import SearchItem
from vitrine.gateway.schemas.search import (
    MAX_PARTS,
    FlatSearch,
    ImageForm,
    ImageQuery,
    ItemQuery,
    Query,
    QueryPartBody,
    SearchBody,
    SearchMembers,
    SearchParams,
    TextQuery,
)
from vitrine.search.request import ImagePart, ItemPart, QueryPart, SearchRequest, TextPart
from vitrine.settings import GatewaySettings, Settings
from vitrine.vectorstore.filter_text import parse_filter_text
from vitrine.vectorstore.filters import FilterTree, parse_filter

_PARTS: Final[TypeAdapter[list[QueryPartBody]]] = TypeAdapter(Query)


async def from_body(
    alias: str, body: SearchBody, caller: Principal, services: Services, deadline: Deadline
) -> SearchRequest:
    """The search that a JSON body asks for.

    Raises:
        InvalidInput, LimitExceeded, FilterInvalid, ImageRejected: the subclass says why.
        DeadlineExceeded: a picture took too long to fetch.
    """
    # All that is wrong without them is found before the first picture is fetched.
    request = _without_parts(alias, body, caller, services.settings)
    return request(parts=await _parts(body.query, services.pictures, deadline))


async def from_items(
    items: Sequence[object], caller: Principal, services: Services, deadline: Deadline
) -> list[SearchRequest | VitrineError]:
    """The searches that several ask for, or what is wrong with each.

    Raises:
        LimitExceeded: too many addresses of pictures in all of them together.
    """
    read = [_item(item, services.settings) for item in items]
    sent = [part for item in read if isinstance(item, SearchItem) for part in item.query]
    services.pictures.check_count(part.image for part in sent if isinstance(part, ImageQuery))
    return await asyncio.gather(*(_from_item(item, caller, services, deadline) for item in read))


def from_params(alias: str, params: SearchParams, caller: Principal, settings: Settings) -> SearchRequest:
    """The search that a query string asks for.

    Raises:
        QueryEmpty: it names neither a text nor a product.
        LimitExceeded, FilterInvalid
    """
    parts: list[QueryPart] = []
    if params.q is not None:
        parts.append(TextPart(params.q))
    if params.id is not None:
        parts.append(ItemPart(params.id))
    if not parts:
        raise QueryEmpty("Name a text as `q`, a product as `id`, or both.")
    return _without_parts(alias, params, caller, settings)(parts=tuple(parts))


async def from_form(
    alias: str, form: ImageForm, picture: bytes, caller: Principal, services: Services, deadline: Deadline
) -> SearchRequest:
    """The search that an uploaded picture and the members beside it ask for.

    Raises: as `from_body`.
    """
    request = _without_parts(alias, form, caller, services.settings)
    further = () if form.query is None else await _further(form.query, services, deadline)
    return request(parts=(ImagePart(picture, form.weight), *further))


def deadline_for(timeout_ms: int | None, settings: GatewaySettings, *, or_else: int | None = None) -> Deadline:
    """When a request's time is up, counted from now.

    Args:
        timeout_ms: what counts most, a body's or an address's; None where it says nothing.
        settings: what counts where nobody says anything.
        or_else: what counts then, the header's.

    Raises:
        LimitExceeded: either is more time than the settings allow.
    """
    for asked in (timeout_ms, or_else):
        if asked is not None and asked > settings.max_timeout_ms:
            raise LimitExceeded(
                f"A request may take {settings.max_timeout_ms} ms at most, not {asked}.",
                field="timeout_ms",
                minimum=1,
                maximum=settings.max_timeout_ms,
            )
    return Deadline.after((timeout_ms or or_else or settings.default_timeout_ms) / 1000)


def check_searches(count: int, settings: Settings) -> None:
    """Refuses more searches than one request may have.

    Raises:
        LimitExceeded
    """
    most = settings.search.max_searches
    if count > most:
        raise LimitExceeded(
            f"A request has {most} searches at most, not {count}.", field="searches", minimum=1, maximum=most
        )


def _without_parts(
    collection: str, sent: SearchMembers | FlatSearch, caller: Principal, settings: Settings
) -> partial[SearchRequest]:
    """All of a request but what is looked for, its `parts`."""
    most = settings.gateway.max_limit
    if sent.limit > most:
        raise LimitExceeded(
            f"An answer holds {most} hits at most, not {sent.limit}.", field="limit", minimum=1, maximum=most
        )
    facets = _facets(sent.facets, settings.search.max_facets)
    return partial(
        SearchRequest,
        collection=collection,
        limit=sent.limit,
        offset=sent.offset,
        params=_params(sent.params) if isinstance(sent, FlatSearch) else sent.params,
        filter=None if sent.filter is None else _filter(sent.filter),
        min_score=sent.min_score,
        relative_cut=sent.relative_cut,
        group_by=sent.group_by,
        facets=facets,
        cursor=sent.cursor,
        # A page by offset has no place in a walk.
        paged=sent.offset == 0,
        audience=caller.id,
        with_vectors=sent.with_vectors,
    )


def _filter(sent: object) -> FilterTree:
    """A filter as a tree or as text. A tree written as text is known by its brace: no filter in text form begins so."""
    if not isinstance(sent, str):
        return parse_filter(sent)
    if not sent.startswith("{"):
        return parse_filter_text(sent)
    try:
        return parse_filter(json.loads(sent))
    except (ValueError, RecursionError) as error:
        raise FilterInvalid("The filter begins like JSON, but is none.") from error


def _facets(sent: Sequence[str] | str | None, most: int) -> tuple[str, ...]:
    """Fields to count, each once."""
    names = sent.split(",") if isinstance(sent, str) else sent or ()
    if len(names) > most:
        raise LimitExceeded(
            f"A search has {most} facets at most, not {len(names)}.", field="facets", minimum=0, maximum=most
        )
    return tuple(dict.fromkeys(names))


def _params(sent: str | None) -> Mapping[str, int]:
    """`ef:64,refine_k:2`, whose form the schema has checked."""
    if sent is None:
        return {}
    return {name: int(value) for name, _, value in (pair.partition(":") for pair in sent.split(","))}


def _item(sent: object, settings: Settings) -> SearchItem | VitrineError:
    try:
        return SearchItem.model_validate(sent)
    except ValidationError as error:
        return invalid_input(findings_of(error), bounds_of(settings))


async def _from_item(
    item: SearchItem | VitrineError, caller: Principal, services: Services, deadline: Deadline
) -> SearchRequest | VitrineError:
    if isinstance(item, VitrineError):
        return item
    try:
        caller.require(Scope.SEARCH, item.collection)
        request = _without_parts(item.collection, item, caller, services.settings)
        return request(parts=await _parts(item.query, services.pictures, deadline, counted=True))
    except VitrineError as error:
        return error


async def _further(sent: str, services: Services, deadline: Deadline) -> tuple[QueryPart, ...]:
    """Parts that a form names beside its picture: a text, or a JSON list."""
    if not sent.startswith("["):
        return (TextPart(sent),)
    try:
        parts = _PARTS.validate_json(sent, strict=True)
    except ValidationError as error:
        told = [{**finding, "loc": ("query", *finding["loc"])} for finding in findings_of(error)]
        raise invalid_input(told, bounds_of(services.settings)) from error
    if len(parts) >= MAX_PARTS:
        raise LimitExceeded(
            f"A query has {MAX_PARTS} parts at most, the picture among them.", field="query", maximum=MAX_PARTS
        )
    return await _parts(parts, services.pictures, deadline)


async def _parts(
    sent: Sequence[QueryPartBody], pictures: Pictures, deadline: Deadline, *, counted: bool = False
) -> tuple[QueryPart, ...]:
    """The parts of a query, with the bytes of their pictures.

    Args:
        sent: as they were validated.
        pictures: whence the bytes.
        deadline: for all of them.
        counted: the addresses among them are known to be few enough.
    """
    images = [part.image for part in sent if isinstance(part, ImageQuery)]
    if not counted:
        pictures.check_count(images)
    data = iter(await _bytes_of(images, pictures, deadline))
    return tuple(
        TextPart(part.text, part.weight)
        if isinstance(part, TextQuery)
        else ItemPart(part.id, part.weight)
        if isinstance(part, ItemQuery)
        else ImagePart(next(data), part.weight)
        for part in sent
    )


async def _bytes_of(images: Sequence[str], pictures: Pictures, deadline: Deadline) -> Sequence[bytes]:
    """Fetches at the same time what has to be fetched; the first failure ends the others."""
    if len(images) < 2:
        return [await pictures.bytes_of(image, deadline) for image in images]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(pictures.bytes_of(image, deadline)) for image in images]
    except ExceptionGroup as failed:
        first = failed.exceptions[0]
        raise first from first.__cause__
    return [task.result() for task in tasks]
