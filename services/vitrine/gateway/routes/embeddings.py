"""Embeddings in OpenAI's shape: what a search does to its query, for those who want the vectors themselves."""

import base64
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Annotated, Any, Final

import numpy as np
from fastapi import APIRouter, Path, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from vitrine import errors
from vitrine.domain import Deadline, Vectors
from vitrine.embedding.contract import ModelContract
from vitrine.errors import InvalidInput, LimitExceeded, ModelNotFound, VitrineError
from vitrine.gateway.auth.principal import Scope
from vitrine.gateway.bodies import read_json
from vitrine.gateway.context import RequestContext
from vitrine.gateway.dependencies import Services, TimeoutHeader, caller_of, services_of
from vitrine.gateway.errors import (
    BodyTimedOut,
    BodyTooLarge,
    ClientGone,
    ContentTypeUnsupported,
    JsonMalformed,
    detail_of,
    problem_response,
)
from vitrine.gateway.openapi import problems
from vitrine.gateway.requests import deadline_for
from vitrine.gateway.schemas.embeddings import (
    DEFAULT_MODEL,
    MAX_PICTURES,
    EmbeddingsAnswer,
    EmbeddingsBody,
    ServedModel,
    ServedModelsAnswer,
)
from vitrine.gateway.shapes import json_response, took_ms
from vitrine.search.request import QUERY_TRUNCATED


class _TellingMessage(APIRoute):
    """Adds a `message` to this route's problems: of an error's document, OpenAI's client shows people that alone."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except VitrineError as error:
                context = RequestContext.of(request.scope)
                context.failure = error
                return problem_response(error, context, {"message": detail_of(error)})

        return answered


router = APIRouter(tags=["embeddings"], route_class=_TellingMessage)

# A text such as "data: a red mug" stays a text.
_PICTURE: Final = re.compile(r"data:(?:[\w.+-]+/|[;,])", re.ASCII | re.IGNORECASE)
_ASKED: Final = (errors.InvalidInput, errors.Overloaded, errors.InternalError)
_EMBEDDING: Final = (
    *_ASKED,
    BodyTooLarge,
    BodyTimedOut,
    ClientGone,
    ContentTypeUnsupported,
    JsonMalformed,
    errors.LimitExceeded,
    errors.ModelNotFound,
    errors.QueryEmpty,
    errors.QueryTooLarge,
    errors.TextMalformed,
    errors.ImageTooLarge,
    errors.ImageTooManyPixels,
    errors.ImageFormatUnsupported,
    errors.ImageUnrecognised,
    errors.ImageCorrupt,
    errors.EncoderUnavailable,
    errors.ContractMismatch,
    errors.DeadlineExceeded,
)


@router.post(
    "/v1/embeddings",
    response_model=EmbeddingsAnswer,
    responses=problems(_EMBEDDING),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": EmbeddingsBody.model_json_schema()}},
        }
    },
)
async def embeddings(request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Embeds texts and pictures. Vectors are the ones that searches use: of unit length, compared by cosine."""
    caller_of(request).require(Scope.SEARCH)
    body = await read_json(request, EmbeddingsBody)
    services, context = services_of(request), RequestContext.of(request.scope)
    context.charge(len(body.input) - 1)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    contract = services.searcher.encoder.contract
    _check_model(body.model, contract)
    if body.dimensions not in (None, contract.dimension):
        raise InvalidInput(
            f"{contract.model} gives vectors of {contract.dimension} dimensions, not of {body.dimensions}.",
            field="dimensions",
            dimensions=contract.dimension,
        )
    if services.settings.telemetry.log_queries:
        context.facts["query"] = [sent for sent in body.input if not _PICTURE.match(sent)]
    vectors, tokens, warnings = await _embedded(body.input, services, context, deadline)
    context.facts.update(inputs=len(vectors), tokens=tokens)
    return json_response(
        {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": figures}
                for index, figures in enumerate(_written(vectors, body.encoding_format))
            ],
            "model": contract.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            "warnings": warnings,
        },
        headers=_timing(context),
    )


@router.get("/v1/models", response_model=ServedModelsAnswer, responses=problems(_ASKED))
async def models(request: Request) -> Response:
    """The model that is served, as a list of one."""
    caller_of(request).require(Scope.SEARCH)
    contract = services_of(request).searcher.encoder.contract
    return json_response({"object": "list", "data": [_described(contract)]})


# `:path`, because names of models hold slashes.
@router.get("/v1/models/{model:path}", response_model=ServedModel, responses=problems((*_ASKED, errors.ModelNotFound)))
async def model(model: Annotated[str, Path(min_length=1, max_length=256)], request: Request) -> Response:
    """The model of a name or fingerprint, if that is the one served."""
    caller_of(request).require(Scope.SEARCH)
    contract = services_of(request).searcher.encoder.contract
    _check_model(model, contract)
    return json_response(_described(contract))


async def _embedded(
    inputs: Sequence[str], services: Services, context: RequestContext, deadline: Deadline
) -> tuple[Vectors, int, list[str]]:
    """Vectors in the order of the inputs, the number of token ids read, and warnings."""
    encoder = services.searcher.encoder
    pictures = [index for index, sent in enumerate(inputs) if _PICTURE.match(sent)]
    texts = [index for index, sent in enumerate(inputs) if not _PICTURE.match(sent)]
    if len(pictures) > MAX_PICTURES:
        raise LimitExceeded(
            f"A request embeds {MAX_PICTURES} pictures at most, not {len(pictures)}.",
            field="input",
            maximum=MAX_PICTURES,
        )
    vectors = np.empty((len(inputs), encoder.contract.dimension), np.float32)
    tokens, truncated = 0, False
    if texts:
        encoded = await encoder.encode_texts([inputs[index] for index in texts], deadline, context.clock)
        vectors[texts] = encoded.vectors
        tokens, truncated = sum(encoded.tokens), any(encoded.truncated)
    if pictures:
        data = [await services.pictures.bytes_of(inputs[index], deadline) for index in pictures]
        vectors[pictures] = await encoder.encode_images(data, deadline, context.clock)
    return vectors, tokens, [QUERY_TRUNCATED] if truncated else []


def _written(vectors: Vectors, encoding_format: str) -> Sequence[object]:
    if encoding_format == "float":
        return list(vectors)
    # Said to be little-endian, whatever this machine is.
    return [base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") for vector in vectors]


def _check_model(name: str, contract: ModelContract) -> None:
    if name not in (contract.model, contract.fingerprint, DEFAULT_MODEL):
        raise ModelNotFound(f"There is no model of that name here; {contract.model} is served.", served=contract.model)


def _described(contract: ModelContract) -> dict[str, Any]:
    return {
        "id": contract.model,
        "object": "model",
        "created": 0,
        "owned_by": "vitrine",
        "fingerprint": contract.fingerprint,
        "dimensions": contract.dimension,
        "max_tokens": contract.context_length,
    }


def _timing(context: RequestContext) -> Mapping[str, str]:
    return {"Server-Timing": ", ".join(f"{name};dur={spent}" for name, spent in took_ms(context.clock).items())}
