"""Logs as JSON, one object a line, on standard output."""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO

import orjson

from vitrine.settings import TelemetrySettings
from vitrine.telemetry.spans import current_trace

REQUEST_ID: ContextVar[str | None] = ContextVar("vitrine_request_id", default=None)
"""Id of the request this code works for; every log line written meanwhile carries it."""

FIELDS = "vitrine_fields"
"""Key of `extra` whose mapping is merged into the line: `logger.info("...", extra={FIELDS: {"rows": 3}})`."""

# These write a line per request or per connection attempt at INFO; what they know is in our own lines and metrics.
_CHATTY = ("httpx", "httpcore", "pymilvus", "urllib3", "asyncio")


class JsonFormatter(logging.Formatter):
    """Renders a record as one JSON object: time (UTC), level, logger, message, ids of the request, fields, stack."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (request_id := REQUEST_ID.get()) is not None:
            line["request_id"] = request_id
        if (trace := current_trace()) is not None:
            line["trace_id"] = trace.trace_id
        line.update(getattr(record, FIELDS, {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # A value nobody foresaw must not lose the line it is in; lone surrogates are no UTF-8 and would.
        try:
            return orjson.dumps(line, default=str).decode()
        except orjson.JSONEncodeError:
            return orjson.dumps({key: ascii(value) for key, value in line.items()}).decode()


def configure_logging(settings: TelemetrySettings, stream: IO[str] | None = None) -> None:
    """Makes the root logger write JSON lines to `stream` (standard output) at the configured level.

    Everything else that logs in this process, warnings included, goes through it. Called once, by a composition root.
    """
    # Looked up for each record, by walking up the stack among others, and in none of our lines.
    logging._srcfile = None  # noqa: SLF001 - the standard library's way, see its HOWTO
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
