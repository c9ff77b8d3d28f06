"""What was sent, turned into what `Searcher` understands, within the limits of the settings."""

from vitrine.domain import Deadline
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.gateway.bodies import parse_filter_text
from vitrine.gateway.dependencies import Services
from vitrine.gateway.pictures import Pictures
from vitrine.gateway.schemas.search import ImageForm, ImageQuery, ItemQuery, SearchBody, SearchParams, TextQuery
from vitrine.search.request import ImagePart, ItemPart, QueryPart, SearchRequest, TextPart
from vitrine.settings import GatewaySettings, Settings
from vitrine.vectorstore.filters import parse_filter


async def from_body(alias: str, body: SearchBody, services: Services, deadline: Deadline) -> SearchRequest:
    """The search that a JSON body asks for.

    Raises:
        InvalidInput, LimitExceeded, FilterInvalid, ImageTooLarge, ImageFormatUnsupported, ImageCorrupt
    """
    _check_limit(body.limit, services.settings.gateway)
    sent = [TextQuery(text=body.query)] if isinstance(body.query, str) else body.query
    return SearchRequest(
        collection=alias,
        parts=tuple([await _part(part, services.pictures, deadline) for part in sent]),
        limit=body.limit,
        offset=body.offset,
        params=body.params,
        filter=None if body.filter is None else parse_filter(body.filter),
        min_score=body.min_score,
        with_vectors=body.with_vectors,
    )


def from_params(alias: str, params: SearchParams, settings: Settings) -> SearchRequest:
    """The search that a query string asks for.

    Raises:
        InvalidInput: it names neither a text nor a product.
        LimitExceeded
    """
    _check_limit(params.limit, settings.gateway)
    parts: list[QueryPart] = []
    if params.q is not None:
        parts.append(TextPart(params.q))
    if params.id is not None:
        parts.append(ItemPart(params.id))
    if not parts:
        raise InvalidInput("Name a text as `q`, a product as `id`, or both.")
    return SearchRequest(alias, tuple(parts), params.limit, params.offset, min_score=params.min_score)


def from_form(alias: str, form: ImageForm, picture: bytes, settings: Settings) -> SearchRequest:
    """The search that an uploaded picture asks for.

    Raises:
        LimitExceeded, FilterInvalid
    """
    _check_limit(form.limit, settings.gateway)
    return SearchRequest(
        collection=alias,
        parts=(ImagePart(picture),),
        limit=form.limit,
        offset=form.offset,
        filter=None if form.filter is None else parse_filter(parse_filter_text(form.filter)),
        min_score=form.min_score,
    )


def deadline_for(timeout_ms: int | None, settings: GatewaySettings) -> Deadline:
    """When a request's time is up, counted from now.

    Raises:
        LimitExceeded: more time than the settings allow.
    """
    if timeout_ms is None:
        timeout_ms = settings.default_timeout_ms
    if timeout_ms > settings.max_timeout_ms:
        raise LimitExceeded(
            f"A request may take {settings.max_timeout_ms} ms at most, not {timeout_ms}.",
            field="timeout_ms",
            maximum=settings.max_timeout_ms,
        )
    return Deadline.after(timeout_ms / 1000)


def _check_limit(limit: int, settings: GatewaySettings) -> None:
    if limit > settings.max_limit:
        raise LimitExceeded(
            f"An answer holds {settings.max_limit} hits at most, not {limit}.",
            field="limit",
            minimum=1,
            maximum=settings.max_limit,
        )


async def _part(part: TextQuery | ImageQuery | ItemQuery, pictures: Pictures, deadline: Deadline) -> QueryPart:
    if isinstance(part, TextQuery):
        return TextPart(part.text, part.weight)
    if isinstance(part, ItemQuery):
        return ItemPart(part.id, part.weight)
    return ImagePart(await pictures.bytes_of(part.image, deadline), part.weight)
