"""How answers are written: plain dictionaries, encoded once. `schemas.py` documents them, tests hold both together."""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson
from starlette.responses import Response

from vitrine.domain import Hit
from vitrine.gateway.context import RequestContext
from vitrine.search.request import SearchResult
from vitrine.telemetry.stages import StageClock
from vitrine.vectorstore.collection import CollectionInfo

# What `quote` would leave as it is; asking first is ten times cheaper, twenty times per answer.
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_.~/-]*")


def json_response(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON by orjson, which also writes numpy's vectors."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


def search_answer(result: SearchResult, context: RequestContext, media_base_url: str | None) -> Response:
    """The answer to a search, with the stages' times in the body and in `Server-Timing`."""
    took = took_ms(context.clock)
    return json_response(
        {
            "hits": [hit_answer(hit, media_base_url) for hit in result.hits],
            "took_ms": took,
            "collection": result.collection,
            "model": {"name": result.model, "fingerprint": result.fingerprint},
            "degraded": False,
            "warnings": result.warnings,
            "request_id": context.request_id,
        },
        headers={"Server-Timing": ", ".join(f"{name};dur={spent}" for name, spent in took.items())},
    )


def took_ms(clock: StageClock) -> dict[str, float]:
    """Milliseconds so far, in all and by stage."""
    took = {"total": round(clock.total() * 1000, 3)}
    took.update((stage.value, round(spent * 1000, 3)) for stage, spent in clock.seconds.items())
    return took


def hit_answer(hit: Hit, media_base_url: str | None) -> dict[str, Any]:
    """One hit. Six decimals of the score are what float32 vectors can tell apart."""
    shaped = {"id": hit.id, "score": round(hit.score, 6), **_described(hit, media_base_url)}
    if hit.vector is not None:
        shaped["vector"] = hit.vector
    return shaped


def item_answer(hit: Hit, media_base_url: str | None) -> dict[str, Any]:
    """One product that was asked for by its id."""
    return {"id": hit.id, **_described(hit, media_base_url)}


def collection_answer(info: CollectionInfo) -> dict[str, Any]:
    """What a collection is made of."""
    return {
        "name": info.name,
        "aliases": info.aliases,
        "rows": info.rows,
        "dimension": info.dimension,
        "index": {"type": info.index.index_type, "params": info.index.build_params()},
        "model": {"name": info.model, "fingerprint": info.fingerprint},
        "fields": [
            {
                "name": spec.name,
                "type": spec.type.value,
                "filterable": spec.filterable,
                "facetable": spec.facetable,
            }
            for spec in info.fields
        ],
        "loaded": info.loaded,
        "created_at": info.created_at,
    }


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
