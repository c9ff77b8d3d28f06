"""`python -m vitrine.gateway`: settings, logs, then one uvicorn process."""

import logging
import signal
import sys
import time
from types import FrameType
from typing import Final, NoReturn

import uvicorn
from fastapi import FastAPI

from vitrine.embedding.contract import ModelContract
from vitrine.embedding.tokenizer import Tokenizer
from vitrine.errors import ModelInvalid, SettingsInvalid
from vitrine.gateway.app import create_app
from vitrine.gateway.dependencies import Services
from vitrine.settings import Settings, read_settings
from vitrine.telemetry.logging import FIELDS, configure_logging

logger = logging.getLogger(__name__)

# Between "not ready" and the closing of the listening socket: whoever probes once a second has noticed by then.
_NOTICE_S: Final = 1.0


class DrainingServer(uvicorn.Server):
    """On the first SIGTERM or SIGINT: not ready at once, then no new connections, then an end to those in flight.

    A second signal ends it without waiting. The exit status after a signal is 0: it was asked for.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, notice_s: float = _NOTICE_S) -> None:
        super().__init__(config)
        self._app = app
        self._notice_s = notice_s
        self._closes_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the interpreter between two instructions of the main thread."""
        if self._closes_at is not None:
            self.should_exit = self.force_exit = True
            return
        logger.info("Draining after %s.", signal.Signals(sig).name)
        self._closes_at = time.monotonic() + self._notice_s
        services: Services | None = getattr(self._app.state, "services", None)
        if services is None:
            self.should_exit = True
        else:
            services.readiness.drain()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to leave the main loop."""
        if self._closes_at is not None and time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings) -> None:
    """Serves until a signal.

    Raises:
        SettingsInvalid: callers are to be authenticated, and what is set for that cannot be used.
    """
    gateway = settings.gateway
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=gateway.host,
        port=gateway.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=gateway.keep_alive_s,
        timeout_graceful_shutdown=gateway.drain_s,
    )
    DrainingServer(config, app).run()


def main() -> None:
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


if __name__ == "__main__":
    main()
