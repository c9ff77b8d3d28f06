"""Calls that read anything but searches."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from vitrine.client.answers import Answer, Collection, Embeddings, Item, Limit, Readiness
from vitrine.client.call import (
    Call,
    Received,
    as_bytes,
    as_model,
    json_call,
    refusal,
    segment,
    timeout_header,
    unexpected,
)
from vitrine.client.parts import image_url

DEFAULT_MODEL: Final = "default"
"""Whatever model is served."""
_FLOAT_BYTES: Final = 4


class _Collections(Answer):
    collections: tuple[Collection, ...]


class _Limits(Answer):
    limits: tuple[Limit, ...]


def item(collection: str, item_id: str) -> Call[Item]:
    """One product."""
    return Call("GET", f"/v1/collections/{segment(collection)}/items/{segment(item_id)}", as_model(Item))


def collections() -> Call[tuple[Collection, ...]]:
    """All there are."""
    read = as_model(_Collections)
    return Call("GET", "/v1/collections", lambda received: read(received).collections)


def collection(name: str) -> Call[Collection]:
    """One of them."""
    return Call("GET", f"/v1/collections/{segment(name)}", as_model(Collection))


def limits() -> Call[Mapping[str, Limit]]:
    """Every limit, by name."""
    read = as_model(_Limits)
    return Call("GET", "/v1/limits", lambda received: {limit.name: limit for limit in read(received).limits})


def ready() -> Call[Readiness]:
    """The readiness report; nothing is repeated, since "not yet" is what was asked for."""
    return Call("GET", "/readyz", _readiness, patient=False)


def picture(url: str) -> Call[bytes]:
    """A picture, here or on another server."""
    return Call("GET", url, as_bytes)


def embed(
    inputs: str | bytes | Path | Sequence[str | bytes | Path], model: str, timeout_ms: int | None
) -> Call[Embeddings]:
    """Embeddings of texts and pictures.

    Raises:
        ImageMissing, ImageUnreadable
    """
    several = [inputs] if isinstance(inputs, str | bytes | Path) else inputs
    sent = [one if isinstance(one, str) else image_url(one) for one in several]
    # A third of the size of numbers as text, and exact.
    body = {"input": sent, "model": model, "encoding_format": "base64"}
    return json_call("POST", "/v1/embeddings", body, _embeddings, timeout_header(timeout_ms))


def _embeddings(received: Received) -> Embeddings:
    if not received.is_success:
        raise refusal(received)
    try:
        answer: Mapping[str, Any] = json.loads(received.content)
        vectors = [_floats(entry["embedding"]) for entry in sorted(answer["data"], key=lambda entry: entry["index"])]
        read = {"prompt_tokens": answer["usage"]["prompt_tokens"], "warnings": answer.get("warnings", ())}
        return Embeddings.model_validate({"vectors": vectors, "model": answer["model"], **read})
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise unexpected(received, "an answer of another shape") from error


def _floats(encoded: str) -> tuple[float, ...]:
    """Little-endian float32 in base64."""
    data = base64.b64decode(encoded, validate=True)
    return struct.unpack(f"<{len(data) // _FLOAT_BYTES}f", data)


def _readiness(received: Received) -> Readiness:
    try:
        report = json.loads(received.content)
        return Readiness.model_validate({**report, "ready": received.is_success})
    except (ValueError, TypeError, RecursionError) as error:
        raise refusal(received) from error
