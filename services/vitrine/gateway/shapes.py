"""How answers are written: plain dictionaries, encoded once. `schemas.py` documents them, tests hold both together."""

import re
import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from vitrine.domain import Hit
from vitrine.errors import VitrineError
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import problem_of
from vitrine.search.request import Facet, SearchResult
from vitrine.settings import Settings
from vitrine.telemetry.stages import StageClock

_TAGS: Final = re.compile(r'(?:W/)?("[^"]*")')
# What `quote` would leave as it is; asking first is ten times cheaper, twenty times per answer.
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_.~/-]*")


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON by orjson, which also writes numpy's vectors."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


def cacheable_response(
    request: Request,
    told: Mapping[str, object],
    *,
    max_age_s: int,
    besides: Mapping[str, object] | None = None,
    tag: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """JSON with an ETag; 304 without a body where the caller has it already.

    Args:
        request: its `If-None-Match` is what the caller has.
        told: members that the ETag is of.
        max_age_s: how long the caller may use it without asking; 0: it asks every time, and may get a 304.
        besides: members that differ from answer to answer, such as times and the request's id.
        tag: whatever else the ETag shall depend on.
        headers: further ones.
    """
    body = orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY)
    # Weak: `besides` differs between answers of one tag. Keyed by nothing: who can ask for the answer can read it.
    etag = f'W/"{blake2b(body, digest_size=16, key=tag.encode()[:64]).hexdigest()}"'
    sent = {
        **(headers or {}),
        "ETag": etag,
        "Cache-Control": f"private, max-age={max_age_s}" if max_age_s > 0 else "private, no-cache",
        # What an answer says depends on what its caller may see.
        "Vary": "Authorization, X-API-Key",
    }
    if _has(request.headers.get("if-none-match", ""), etag):
        return Response(None, HTTPStatus.NOT_MODIFIED, sent)
    if besides:
        body = b"%b,%b" % (body[:-1], orjson.dumps(besides, option=orjson.OPT_SERIALIZE_NUMPY)[1:])
    return Response(body, HTTPStatus.OK, sent, "application/json")


def _has(if_none_match: str, etag: str) -> bool:
    """Whether a list of tags, strong or weak, holds this one, compared weakly as RFC 9110 says for this header."""
    if not if_none_match:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(f"W/{tag}" == etag for tag in _TAGS.findall(if_none_match))


def search_answer(result: SearchResult, context: RequestContext, media_base_url: str | None) -> Response:
    """The answer to a search, with the stages' times in the body and in `Server-Timing`."""
    took = took_ms(context.clock)
    return json_response(
        found(result, media_base_url) | {"took_ms": took, "request_id": context.request_id},
        headers={"Server-Timing": server_timing(took)},
    )


def cacheable_search_answer(
    request: Request, result: SearchResult, media_base_url: str | None, settings: Settings
) -> Response:
    """The same for a search by address, which caches may keep."""
    context = RequestContext.of(request.scope)
    took = took_ms(context.clock)
    told = found(result, media_base_url)
    # A cursor differs from answer to answer and ages. So that none is kept until it has expired, the tag changes as
    # often as cursors get half as old as they may.
    cursor, half_life_s = told.pop("next_cursor"), max(1, settings.search.cursor_ttl_s // 2)
    return cacheable_response(
        request,
        told,
        max_age_s=min(settings.cache.answer_max_age_s, half_life_s),
        besides={"next_cursor": cursor, "took_ms": took, "request_id": context.request_id},
        tag="" if cursor is None else str(int(time.time()) // half_life_s),
        headers={"Server-Timing": server_timing(took)},
    )


def multi_search_answer(
    results: Sequence[SearchResult | VitrineError], context: RequestContext, media_base_url: str | None
) -> Response:
    """The answers to several searches, each with its own status."""
    took = took_ms(context.clock)
    told = [
        problem_of(result, context)
        if isinstance(result, VitrineError)
        else {"status": int(HTTPStatus.OK), **found(result, media_base_url)}
        for result in results
    ]
    body = orjson.dumps(
        {"results": told, "took_ms": took, "request_id": context.request_id},
        default=str,
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Response(body, headers={"Server-Timing": server_timing(took)}, media_type="application/json")


def found(result: SearchResult, media_base_url: str | None) -> dict[str, Any]:
    """What a search found, whatever the way it was asked."""
    return {
        "hits": [hit_answer(hit, media_base_url) for hit in result.hits],
        "next_cursor": result.next_cursor,
        "facets": {facet.field: _facet(facet) for facet in result.facets},
        "facets_over": result.facets_over,
        "collection": result.collection,
        "model": {"name": result.model, "fingerprint": result.fingerprint},
        "degraded": False,
        "warnings": result.warnings,
    }


def _facet(facet: Facet) -> dict[str, Any]:
    return {
        "values": [{"value": counted.value, "count": counted.count} for counted in facet.values],
        "others": facet.others,
        "missing": facet.missing,
    }


def server_timing(took: Mapping[str, float]) -> str:
    """Times of the stages for the header that browsers show in their network panel."""
    return ", ".join(f"{name};dur={spent}" for name, spent in took.items())


def took_ms(clock: StageClock) -> dict[str, float]:
    """Milliseconds so far, in all and by stage."""
    took = {"total": round(clock.total() * 1000, 3)}
    took.update((stage.value, round(spent * 1000, 3)) for stage, spent in clock.seconds.items())
    return took


def hit_answer(hit: Hit, media_base_url: str | None) -> dict[str, Any]:
    """One hit. Six decimals of the score are what float32 vectors can tell apart."""
    shaped = {"id": hit.id, "score": round(hit.score, 6), **_described(hit, media_base_url)}
    if hit.siblings is not None:
        shaped["siblings"] = hit.siblings
    if hit.vector is not None:
        shaped["vector"] = hit.vector
    return shaped


def item_answer(hit: Hit, media_base_url: str | None) -> dict[str, Any]:
    """One product that was asked for by its id."""
    return {"id": hit.id, **_described(hit, media_base_url)}


def _described(hit: Hit, media_base_url: str | None) -> dict[str, Any]:
    # Without pictures to serve there is no address that would answer.
    has_picture = media_base_url is not None and hit.image_path
    address = hit.image_path if _PLAIN_PATH.fullmatch(hit.image_path) else quote(hit.image_path)
    return {
        "title": hit.title,
        "group": hit.group,
        "image_url": f"{media_base_url}/{address}" if has_picture else None,
        "metadata": hit.fields,
    }
