"""What collections there are, with which index and which model; and which of them are in memory."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from vitrine.domain import Deadline, FieldType
from vitrine.errors import CollectionNotFound, CollectionNotReady, DeadlineExceeded, InvalidInput
from vitrine.gateway.auth.principal import Principal, Scope
from vitrine.gateway.dependencies import Alias, Services, TimeoutHeader, caller_of, services_of
from vitrine.gateway.openapi import COLLECTION_ERRORS, STORE_ERRORS, problems
from vitrine.gateway.requests import deadline_for
from vitrine.gateway.schemas.collections import CollectionAnswer, CollectionsAnswer, CollectionState, LoadAnswer
from vitrine.gateway.schemas.common import NAME_PATTERN
from vitrine.gateway.shapes import json_response
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.reader import LoadState

router = APIRouter(tags=["collections"])

OwnName = Annotated[
    str,
    Path(
        pattern=NAME_PATTERN,
        description="The collection's own name, not an alias: an alias may move between two requests.",
    ),
]
_POLL_S: Final = 0.1
# Kept back from a request's time for its answer.
_MARGIN_S: Final = 0.2
_LOADED: Final = LoadState(loaded=True, share=1.0)
_RELEASED: Final = LoadState(loaded=False, share=None)


@router.get("/v1/collections", response_model=CollectionsAnswer, responses=problems(STORE_ERRORS))
async def list_collections(request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """All finished collections by name; half-made ones cannot be searched and are left out."""
    caller = caller_of(request)
    caller.require(Scope.ADMIN)
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    infos = [info for info in await services.admin.list(deadline) if info.complete and _seen(caller, info)]
    states = await asyncio.gather(*(_state(services, info, deadline) for info in infos))
    described = [_described(info, state, caller) for info, state in zip(infos, states, strict=True)]
    return json_response({"collections": described})


@router.get("/v1/collections/{alias}", response_model=CollectionAnswer, responses=problems(COLLECTION_ERRORS))
async def describe_collection(alias: Alias, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """The collection of a name, or behind an alias."""
    caller = caller_of(request)
    caller.require(Scope.ADMIN)
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    info = await _visible(caller, services, alias, deadline)
    return json_response(_described(info, await _state(services, info, deadline), caller))


@router.post(
    "/v1/collections/{name}/load",
    response_model=LoadAnswer,
    responses={
        HTTPStatus.OK: {"description": "It is loaded."},
        HTTPStatus.ACCEPTED: {"description": "It is being loaded, which goes on by itself.", "model": LoadAnswer},
        **problems(COLLECTION_ERRORS),
    },
)
async def load_collection(name: OwnName, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Loads a collection into memory; waits for it as long as the request's time allows."""
    caller = caller_of(request)
    caller.require(Scope.ADMIN)
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    await _require_own_name(caller, services, name, deadline)
    await services.admin.begin_load(name, deadline)
    state = await _settled(services, name, deadline)
    services.searcher.directory.invalidate()
    if state.loaded:
        return json_response(_load_answer(name, state))
    return json_response(_load_answer(name, state), HTTPStatus.ACCEPTED, {"Retry-After": "1"})


@router.post("/v1/collections/{name}/release", response_model=LoadAnswer, responses=problems(COLLECTION_ERRORS))
async def release_collection(name: OwnName, request: Request, timeout_ms: TimeoutHeader = None) -> Response:
    """Takes a collection out of memory; its data stays. Searches of it are answered 503 until it is loaded again."""
    caller = caller_of(request)
    caller.require(Scope.ADMIN)
    services = services_of(request)
    deadline = deadline_for(timeout_ms, services.settings.gateway)
    await _require_own_name(caller, services, name, deadline)
    try:
        await services.admin.release(name, deadline)
    finally:
        services.searcher.directory.invalidate()
    return json_response(_load_answer(name, _RELEASED))


async def _visible(caller: Principal, services: Services, name: str, deadline: Deadline) -> CollectionInfo:
    """Raises CollectionNotFound: there is none, or the caller may not know."""
    info = await services.admin.describe(name, deadline)
    if not _seen(caller, info):
        raise CollectionNotFound(f"There is no collection {name!r}.", collection=name)
    return info


async def _require_own_name(caller: Principal, services: Services, name: str, deadline: Deadline) -> None:
    info = await _visible(caller, services, name, deadline)
    if info.name != name:
        raise InvalidInput(f"{name!r} is an alias. Name the collection itself: {info.name}.", collection=info.name)
    if not info.complete:
        raise CollectionNotReady(f"Collection {name!r} is half-made.", collection=name)


def _seen(caller: Principal, info: CollectionInfo) -> bool:
    return caller.sees(info.name) or any(caller.sees(alias) for alias in info.aliases)


async def _state(services: Services, info: CollectionInfo, deadline: Deadline) -> LoadState:
    return _LOADED if info.loaded else await services.admin.load_state(info.name, deadline)


async def _settled(services: Services, name: str, deadline: Deadline) -> LoadState:
    """The state when it is loaded, or when the request's time is nearly up."""
    state = LoadState(loaded=False, share=0.0)
    try:
        while not state.loaded and deadline.remaining() > _MARGIN_S:
            state = await services.admin.load_state(name, deadline)
            if not state.loaded:
                await asyncio.sleep(min(_POLL_S, deadline.remaining()))
    except DeadlineExceeded:
        pass  # Milvus has the order; that is what the answer says.
    return state


def _load_answer(name: str, state: LoadState) -> dict[str, Any]:
    if state.loaded:
        word = CollectionState.LOADED
    else:
        word = CollectionState.RELEASED if state.share is None else CollectionState.LOADING
    return {"name": name, "state": word, "progress": state.share or 0.0}


def _described(info: CollectionInfo, state: LoadState, caller: Principal) -> dict[str, Any]:
    return {
        **_load_answer(info.name, state),
        "aliases": [alias for alias in info.aliases if caller.sees(alias)],
        "rows": info.rows,
        "dimension": info.dimension,
        "index": {
            "type": info.index.index_type,
            "params": info.index.build_params(),
            "search_params": info.index.search_settings(),
        },
        "model": {"name": info.model, "fingerprint": info.fingerprint},
        "fields": [
            {
                "name": spec.name,
                "type": spec.type.value,
                "filterable": spec.filterable,
                "facetable": spec.facetable,
                "max_bytes": spec.max_bytes if spec.type is FieldType.TEXT else None,
            }
            for spec in info.fields
        ],
        "group_name": info.group_name,
        "loaded": state.loaded,
        "created_at": info.created_at,
    }
