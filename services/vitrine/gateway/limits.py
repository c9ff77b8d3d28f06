"""Every limit of the API in one place, read from what enforces it: settings, the model's contract, constants."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from vitrine import errors
from vitrine.embedding.contract import ModelContract
from vitrine.errors import VitrineError
from vitrine.gateway import bodies
from vitrine.gateway.errors import BodyTimedOut, BodyTooLarge, FormMalformed, JsonMalformed
from vitrine.gateway.remote_images.address import MAX_ADDRESS_BYTES
from vitrine.gateway.schemas import embeddings, search
from vitrine.settings import Settings
from vitrine.vectorstore import collection, filter_text, filter_tree
from vitrine.vectorstore.searcher import MAX_NEIGHBOURS

_JSON_LEVELS: Final = 201  # the parser's own: 200 within the outermost; a test sends one more
_IMAGE_FORMATS: Final = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF")  # a test holds them to the decoder's


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit.

    Args:
        name: stable; the documentation is ordered by what it is about.
        value: the most that is accepted; a tuple names all that is.
        unit: of the value.
        description: what it bounds, and what becomes of more where that is no error.
        error: what more is answered with; None: nothing is refused.
        setting: `section.field` that it comes from; None: it is fixed.
    """

    name: str
    value: float | tuple[str, ...]
    unit: str
    description: str
    error: type[VitrineError] | None = None
    setting: str | None = None


def limits_of(settings: Settings, contract: ModelContract) -> tuple[Limit, ...]:
    """All limits that hold under these settings and for this model, in the order of the documentation."""
    return (
        *_requests(settings),
        *_queries(settings, contract),
        *_answers(settings),
        *_filters(),
        *_pictures(settings),
        *_items(settings),
    )


def _requests(settings: Settings) -> Iterator[Limit]:
    of = partial(_set, settings)
    yield of("gateway.max_body_bytes", "body", "bytes", "A request's body.", BodyTooLarge)
    yield of("gateway.max_timeout_ms", "body_time", "ms", "Until the body's last byte.", BodyTimedOut)
    yield Limit(
        "json_depth",
        _JSON_LEVELS,
        "levels",
        "Arrays and objects within each other, the body itself included.",
        JsonMalformed,
    )
    yield Limit("form_fields", bodies.MAX_FORM_FIELDS, "fields", "Of a multipart form, beside its file.", FormMalformed)
    yield Limit("form_field", bodies.MAX_FIELD_BYTES, "bytes", "One field of a form.", FormMalformed)
    yield of("gateway.max_timeout_ms", "timeout", "ms", "`timeout_ms` of a request.", errors.LimitExceeded)
    yield of("gateway.default_timeout_ms", "timeout_default", "ms", "Time of a request that names none.")
    yield of("gateway.max_in_flight", "in_flight", "requests", "Under way in one process.", errors.Overloaded)
    yield of("gateway.keep_alive_s", "keep_alive", "s", "A connection without a request; then it is closed.")


def _queries(settings: Settings, contract: ModelContract) -> Iterator[Limit]:
    of = partial(_set, settings)
    yield Limit("query_parts", search.MAX_PARTS, "parts", "Of one query.", errors.InvalidInput)
    yield Limit("part_weight", search.MAX_WEIGHT, "", "A part's weight, either sign.", errors.InvalidInput)
    yield of("gateway.max_query_bytes", "query_text", "bytes", "One text, in UTF-8.", errors.QueryTooLarge)
    yield Limit(
        "context_length",
        contract.context_length,
        "token ids",
        "What the model reads of a text; what is longer is cut, with the warning `query_truncated`.",
    )
    yield Limit("params", search.MAX_PARAMS, "params", "Settings of the index for one search.", errors.InvalidInput)
    yield of("search.max_searches", "searches", "searches", "In one multi_search.", errors.LimitExceeded)
    yield Limit(
        "embedding_inputs", embeddings.MAX_INPUTS, "inputs", "Of one request for embeddings.", errors.InvalidInput
    )
    yield Limit("embedding_pictures", embeddings.MAX_PICTURES, "pictures", "Among those inputs.", errors.LimitExceeded)


def _answers(settings: Settings) -> Iterator[Limit]:
    of = partial(_set, settings)
    yield of("gateway.max_limit", "limit", "hits", "Hits or groups on one page.", errors.LimitExceeded)
    yield Limit("offset", search.MAX_OFFSET, "hits", "Hits to pass over.", errors.InvalidInput)
    yield Limit("window", MAX_NEIGHBOURS, "hits", "`offset` and `limit` together.", errors.LimitExceeded)
    yield of(
        "search.max_depth",
        "cursor_depth",
        "hits",
        "Hits or groups that a walk by cursor gives; it ends there with the warning `depth_reached`.",
    )
    yield of("search.cursor_ttl_s", "cursor_age", "s", "How long a cursor can be used.", errors.CursorExpired)
    yield Limit("cursor", search.MAX_CURSOR_CHARS, "characters", "A cursor's length.", errors.InvalidInput)
    yield of("search.max_facets", "facets", "facets", "Of one search.", errors.LimitExceeded)
    yield of("search.max_facet_values", "facet_values", "values", "Listed for one facet; `others` counts the rest.")
    yield of("search.facet_depth", "facet_depth", "hits", "Best hits whose values are counted.")


def _filters() -> Iterator[Limit]:
    yield Limit("filter_depth", filter_tree.MAX_DEPTH, "levels", "Of a filter.", errors.FilterInvalid)
    yield Limit("filter_conditions", filter_tree.MAX_NODES, "conditions", "Of a filter.", errors.FilterInvalid)
    yield Limit("filter_values", filter_tree.MAX_VALUES, "values", "Of a filter.", errors.FilterInvalid)
    yield Limit("filter_value", filter_tree.MAX_VALUE_BYTES, "bytes", "One value, in UTF-8.", errors.FilterInvalid)
    yield Limit(
        "filter_text", filter_text.MAX_TEXT_BYTES, "bytes", "A filter written as text, in UTF-8.", errors.FilterInvalid
    )


def _pictures(settings: Settings) -> Iterator[Limit]:
    of = partial(_set, settings)
    yield of("images.max_bytes", "picture", "bytes", "One picture's file.", errors.ImageTooLarge)
    yield of(
        "images.max_pixels", "picture_pixels", "pixels", "What a picture's file declares.", errors.ImageTooManyPixels
    )
    yield Limit("picture_formats", _IMAGE_FORMATS, "formats", "Recognised by content.", errors.ImageFormatUnsupported)
    yield of(
        "remote_images.hosts",
        "picture_hosts",
        "hosts",
        "Where pictures named by address may come from; none: addresses are refused.",
        errors.ImageUrlRefused,
    )
    yield of(
        "remote_images.max_per_request",
        "pictures_by_address",
        "pictures",
        "Fetched for one request.",
        errors.LimitExceeded,
    )
    yield Limit("picture_address", MAX_ADDRESS_BYTES, "bytes", "A picture's address.", errors.ImageUrlRefused)
    yield of("remote_images.timeout_s", "fetch_time", "s", "Fetching one picture.", errors.ImageUrlFailed)
    yield of("remote_images.max_redirects", "fetch_redirects", "redirects", "Followed.", errors.ImageUrlFailed)


def _items(settings: Settings) -> Iterator[Limit]:
    yield _set(settings, "items.max_bulk", "bulk_items", "items", "Of one bulk request.", errors.LimitExceeded)
    yield Limit("item_id", collection.ID_BYTES, "bytes", "An item's id, in UTF-8.", errors.InvalidInput)
    yield Limit("item_title", collection.TITLE_BYTES, "bytes", "An item's title, in UTF-8.", errors.LimitExceeded)
    yield Limit("item_group", collection.GROUP_BYTES, "bytes", "An item's group, in UTF-8.", errors.LimitExceeded)
    yield Limit("item_image_path", collection.IMAGE_PATH_BYTES, "bytes", "An item's image_path.", errors.LimitExceeded)


def _set(
    settings: Settings,
    setting: str,
    name: str,
    unit: str,
    description: str,
    error: type[VitrineError] | None = None,
) -> Limit:
    section, field = setting.split(".")
    return Limit(name, getattr(getattr(settings, section), field), unit, description, error, setting)
