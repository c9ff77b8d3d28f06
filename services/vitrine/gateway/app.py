"""The composition root of the HTTP process: everything is built here and handed down."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from importlib.metadata import version
from socket import socket
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from vitrine.embedding.caching_encoder import open_caching_encoder
from vitrine.gateway.admission import Admission, BodyLimit, Permits
from vitrine.gateway.auth.authenticator import open_authenticator
from vitrine.gateway.auth.edge import Authenticate, OwnSite
from vitrine.gateway.auth.openapi import describe_access
from vitrine.gateway.canary.watching import known_queries, watched_recall
from vitrine.gateway.dependencies import Services
from vitrine.gateway.direct import DirectSearch
from vitrine.gateway.errors import CODES
from vitrine.gateway.failures import answer_failures
from vitrine.gateway.hang_up import HangUp
from vitrine.gateway.health import DEPENDENCY_OF, Readiness
from vitrine.gateway.items.folder import open_folder
from vitrine.gateway.items.pictures import ItemPictures
from vitrine.gateway.items.writing import ItemStore
from vitrine.gateway.middleware import Observe
from vitrine.gateway.openapi import describe, operation_id
from vitrine.gateway.page import docs_router, page_router
from vitrine.gateway.pictures import Pictures
from vitrine.gateway.remote_images.fetching import open_remote_images
from vitrine.gateway.routes import collections, embeddings, items, limits, machines, multi_search, search, ui
from vitrine.gateway.routes.media import media_router
from vitrine.gateway.scraping import serve_metrics
from vitrine.gateway.shedding import Refusals, Shedding
from vitrine.search.cursor import cursor_key
from vitrine.search.searcher import Searcher
from vitrine.settings import Settings
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.span_metrics import SpanMetrics
from vitrine.telemetry.tracing import open_tracing
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.directory import CollectionDirectory
from vitrine.vectorstore.filter_text import parse_filter_text
from vitrine.vectorstore.searcher import VectorSearcher
from vitrine.vectorstore.tls import trusted_authorities
from vitrine.vectorstore.writer import CollectionWriter

OPENAPI_PATH: Final = "/openapi.json"


def create_app(settings: Settings, metrics_socket: socket | None = None) -> FastAPI:
    """The whole HTTP application. Connects to nothing before its lifespan starts, and starts without its dependencies.

    `app.state.services` holds the `Services` while the lifespan lasts, `app.state.refusals` what the server needs to
    refuse requests by itself.

    Args:
        settings: all of them.
        metrics_socket: listens on `telemetry.metrics_port`; the lifespan answers there, and closes it.

    Raises:
        SettingsInvalid: callers are to be authenticated, and what is set for that cannot be used; the key for
            cursors is too short; Milvus's authorities or the canary's queries cannot be read.
    """
    release = version("vitrine")
    routers = _routers(settings)
    metrics = GatewayMetrics(
        version=release,
        routes=_taken(routers),
        codes=CODES,
        dependencies=set(DEPENDENCY_OF.values()),
    )
    # Refused here: the server tells a failure of the lifespan as a stack trace.
    cursor_key(settings.search)
    trusted_authorities(settings.milvus)
    known_queries(settings.canary)
    authenticator = open_authenticator(settings, metrics)
    spans = SpanMetrics(metrics.registry)
    tracing = open_tracing(settings.telemetry, "vitrine-gateway", release, spans.count_dropped)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            fresh = nullcontext() if authenticator is None else authenticator.kept_fresh()
            async with fresh, _open_services(settings, metrics) as services:
                app.state.services = services
                scraped = (
                    nullcontext()
                    if metrics_socket is None
                    else serve_metrics(metrics_socket, services.readiness, metrics)
                )
                async with scraped:
                    yield
        finally:
            if tracing is not None:
                tracing.close()

    app = FastAPI(
        title="Vitrine",
        version=release,
        description="Product search by text, by picture and by example.",
        lifespan=lifespan,
        openapi_url=OPENAPI_PATH,
        # The framework's own pages load scripts from other people's servers.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        # Its own would tell what callers wrote, and to whomever OTEL_ variables name; ours is in `telemetry/`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for router in routers:
        app.include_router(router)
    answer_failures(app, routers)
    describe(app, settings)
    describe_access(app, authenticated=authenticator is not None)
    # The last one added is the outermost.
    app.add_middleware(DirectSearch, router=search.router)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.gateway.max_body_bytes,
        timeout_s=settings.gateway.max_timeout_ms / 1000,
    )
    permits = Permits(settings.gateway.max_in_flight, metrics)
    app.state.refusals = Refusals(permits, metrics)
    app.add_middleware(Admission, permits=permits)
    if authenticator is None:
        app.add_middleware(OwnSite, loopback_only=settings.auth.mode == "auto")
    else:
        app.add_middleware(Authenticate, authenticator=authenticator)
    app.add_middleware(Observe, metrics=metrics, tracing=tracing)
    app.add_middleware(Shedding, refusals=app.state.refusals)
    app.add_middleware(HangUp)
    return app


def _routers(settings: Settings) -> list[APIRouter]:
    """Searching first: routes are matched in this order."""
    routers = [
        search.router,
        multi_search.router,
        embeddings.router,
        collections.router,
        items.router,
        limits.router,
        ui.router,
        machines.router,
    ]
    if settings.telemetry.metrics_port is None:
        routers.append(machines.scrape_router)
    gateway = settings.gateway
    if gateway.media_root is not None:
        routers.append(media_router(gateway.media_root))
    return [*routers, docs_router(), page_router(gateway.media_base_url)]


def _taken(routers: Iterable[APIRouter]) -> Iterator[tuple[str, str]]:
    """Paths with the methods they take.

    From the routers: what FastAPI keeps of them in `app.routes` is its own affair, but for the one that it adds.
    """
    yield OPENAPI_PATH, "GET"
    for router in routers:
        for route in router.routes:
            if isinstance(route, Route):
                yield from ((route.path, method) for method in route.methods or ())


@asynccontextmanager
async def _open_services(settings: Settings, metrics: GatewayMetrics) -> AsyncIterator[Services]:
    """Opens every client once.

    Raises:
        ModelInvalid: the model repository's contract or tokenizer cannot be read.
    """
    # Its grammar is prepared on first use, for 20 ms: not during somebody's search.
    parse_filter_text("ready:yes")
    async with (
        open_caching_encoder(settings, metrics.embedding_cache) as encoder,
        await MilvusConnection.open(settings.milvus) as connection,
        open_remote_images(settings.remote_images, settings.images) as remote_images,
        watched_recall(settings, connection, metrics.registry),
    ):
        metrics.tell_model(encoder.contract.fingerprint)
        pictures = Pictures(settings.images, remote_images)
        admin = CollectionAdmin(connection)
        searcher = Searcher(encoder, CollectionDirectory(admin), VectorSearcher(connection), settings.search)
        readiness = Readiness(searcher, metrics, settings.gateway)
        with open_folder(settings.items.images_root, settings.images.max_bytes) as folder:
            items = ItemStore(
                admin,
                searcher.vectors,
                encoder,
                ItemPictures(pictures, folder, encoder, at_once=settings.images.decode_threads),
                partial(CollectionWriter, connection),
                metrics.items,
            )
            yield Services(settings, searcher, admin, readiness, metrics, pictures, items)
