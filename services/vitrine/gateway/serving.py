"""The HTTP process: settings, logs, then one uvicorn server."""

import asyncio
import gc
import logging
import sys
from functools import partial
from typing import NoReturn, cast

import uvicorn

from vitrine.embedding.contract import ModelContract
from vitrine.embedding.tokenizer import Tokenizer
from vitrine.errors import ModelInvalid, SettingsInvalid
from vitrine.gateway.app import create_app
from vitrine.gateway.draining import DrainingServer, Farewell
from vitrine.gateway.protocol import SheddingProtocol
from vitrine.gateway.scraping import bind_metrics_port
from vitrine.settings import Settings, read_settings
from vitrine.telemetry.logging import FIELDS, configure_logging

logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serves until a signal.

    Raises:
        SettingsInvalid: callers are to be authenticated, and what is set for that cannot be used; or the port of
            metrics cannot be listened on.
    """
    gateway = settings.gateway
    app = create_app(settings, bind_metrics_port(settings))
    farewell = Farewell(app)
    protocol = partial(SheddingProtocol, refusals=app.state.refusals, leaving=lambda: farewell.leaving)
    config = uvicorn.Config(
        farewell,
        host=gateway.host,
        port=gateway.port,
        loop="uvloop",
        # It is only called, as the class would be.
        http=cast("type[asyncio.Protocol]", protocol),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=gateway.keep_alive_s,
        timeout_graceful_shutdown=gateway.drain_s,
    )
    server = DrainingServer(config, app, farewell)
    # What the modules define, some two hundred thousand objects, is not looked through for garbage again: each time the
    # collector came to it, all requests would wait for some 0.1 s.
    gc.collect()
    gc.freeze()
    server.run()


def run() -> None:
    """Exit status: 0 after a signal, 2 for settings that cannot be used, 3 when the start failed."""
    try:
        settings = read_settings()
    except SettingsInvalid as error:
        _refuse(error)
    configure_logging(settings.telemetry)
    try:
        # The lifespan would fail over the same, but the server tells such failures as a stack trace.
        Tokenizer.load(settings.model.repository, ModelContract.load(settings.model.repository))
    except ModelInvalid as error:
        logger.critical(error.message, extra={FIELDS: {"code": error.code}})
        sys.exit(3)
    try:
        serve(settings)
    except SettingsInvalid as error:
        _refuse(error)


def _refuse(error: SettingsInvalid) -> NoReturn:
    sys.stderr.write(f"{error.message}\n")
    sys.exit(2)
