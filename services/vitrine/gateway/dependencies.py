"""What routes are given: typed, and the same objects for the whole life of the process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Path, Request

from vitrine.gateway.auth.errors import Unauthenticated
from vitrine.gateway.auth.principal import Principal
from vitrine.gateway.context import RequestContext
from vitrine.gateway.health import Readiness
from vitrine.gateway.items.writing import ItemStore
from vitrine.gateway.pictures import Pictures
from vitrine.gateway.schemas.common import NAME_PATTERN, TimeoutMs
from vitrine.search.searcher import Searcher
from vitrine.settings import Settings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.vectorstore.admin import CollectionAdmin


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the lifespan opened, and what it opened it from."""

    settings: Settings
    searcher: Searcher
    admin: CollectionAdmin
    readiness: Readiness
    metrics: GatewayMetrics
    pictures: Pictures
    items: ItemStore

    @property
    def media_base_url(self) -> str | None:
        """What addresses of pictures start with; None when nothing would answer there."""
        gateway = self.settings.gateway
        own = gateway.media_base_url.startswith("/")
        return None if own and gateway.media_root is None else gateway.media_base_url.rstrip("/")


def services_of(request: Request) -> Services:
    """The services of the application that a request came to.

    A plain call instead of `Depends`: each dependency costs a search 25 microseconds of FastAPI's bookkeeping.
    """
    services: Services = request.app.state.services
    return services


def caller_of(request: Request) -> Principal:
    """Who sends a request of the API; the edge has let them in.

    Raises:
        Unauthenticated: the request did not come through the edge's gate.
    """
    principal = RequestContext.of(request.scope).principal
    if principal is None:
        raise Unauthenticated("no caller")
    return principal


Alias = Annotated[str, Path(pattern=NAME_PATTERN, description="Alias or name of a collection.")]
TimeoutHeader = Annotated[TimeoutMs | None, Header(alias="X-Timeout-Ms")]
