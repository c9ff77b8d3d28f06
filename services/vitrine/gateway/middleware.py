"""The edge, as plain ASGI: identity, times and counts of every request, security headers, the last catch."""

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vitrine.errors import InternalError, VitrineError
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import answer_of, problem_response, shed_reason
from vitrine.gateway.request_span import describe_request, request_span
from vitrine.telemetry.logging import FIELDS, REQUEST_ID
from vitrine.telemetry.metrics import UNMATCHED, GatewayMetrics
from vitrine.telemetry.spans import add_event, recording
from vitrine.telemetry.stages import StageClock
from vitrine.telemetry.tracing import Tracing

logger = logging.getLogger(__name__)

_SANE_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
QUIET_ROUTES: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: never traced, and their lines are written at DEBUG while all is well."""

SECURITY_HEADERS: Final[Mapping[bytes, bytes]] = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
}
"""Sent with every answer that does not set its own. The policy suits an API; the page brings a wider one."""


class Observe:
    """Gives the request its id, trace and clock; counts, times and logs it; answers what nobody caught.

    Args:
        app: the next ASGI application.
        metrics: where requests are counted.
        tracing: None when it is off.
    """

    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, tracing: Tracing | None) -> None:
        self._app = app
        self._metrics = metrics
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = RequestContext(request_id_of(scope["headers"]), StageClock())
        context.attach(scope)
        token = REQUEST_ID.set(context.request_id)
        try:
            tracing = None if scope["path"] in QUIET_ROUTES else self._tracing
            with nullcontext() if tracing is None else request_span(tracing, scope, context):
                await self._observed(scope, receive, send, context)
        finally:
            REQUEST_ID.reset(token)

    async def _observed(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        began = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = with_own_headers(message.get("headers", ()), context)
            await send(message)

        try:
            try:
                await self._app(scope, receive, send_with_headers)
            except VitrineError as error:
                await self._answer(error, status, scope, receive, send_with_headers)
            except Exception as error:
                logger.exception("A request failed unexpectedly.")
                await self._answer(InternalError(str(error)), status, scope, receive, send_with_headers)
        finally:
            # 0: the task was cancelled before it answered, which only a shutdown out of patience does.
            self._record(scope, context, status or 503, time.perf_counter() - began)

    async def _answer(self, error: VitrineError, status: int, scope: Scope, receive: Receive, send: Send) -> None:
        context = RequestContext.of(scope)
        context.failure = error
        add_event("refused", {"code": error.code})
        # Once an answer has begun, all that is left is to end it early, which the server makes visible to the caller.
        if status == 0:
            await problem_response(error, context)(scope, receive, send)

    def _record(self, scope: Scope, context: RequestContext, status: int, seconds: float) -> None:
        route = _route_of(scope)
        sampled = context.trace_id if context.trace_sampled else None
        self._metrics.observe_request(route, scope["method"], status, seconds, sampled)
        self._metrics.observe_stages(context.clock.seconds, sampled)
        self._metrics.searches.observe_left(context.clock.left)
        if context.failure is not None:
            self._metrics.count_error(context.failure.code, shed_reason(context.failure))
        if (trace := recording()) is not None:
            describe_request(trace, scope["method"], route or UNMATCHED, status, context.failure)
        level = logging.DEBUG if route in QUIET_ROUTES and status < 400 else logging.INFO
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "method": scope["method"],
            "route": route or UNMATCHED,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
        if stages := context.clock.seconds:
            fields["stages_ms"] = {stage.value: round(spent * 1000, 3) for stage, spent in stages.items()}
        if context.failure is not None:
            fields |= _told(context.failure, scope.get("path_params", {}))
        if context.trace_sampled:
            fields["trace_sampled"] = True
        fields.update(context.facts)
        logger.log(level, "request", extra={FIELDS: fields})


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's id when it is one that can stand in a log and a header, else 32 random hexadecimal digits."""
    for name, value in headers:
        if name == b"x-request-id" and _SANE_REQUEST_ID.fullmatch(value):
            return str(value, "ascii")
    return os.urandom(16).hex()


def with_own_headers(headers: Iterable[tuple[bytes, bytes]], context: RequestContext) -> list[tuple[bytes, bytes]]:
    """An answer's headers, with those that every answer has."""
    sent = list(headers)
    present = {name for name, _ in sent}
    own = [(b"x-request-id", context.request_id.encode())]
    if context.trace_id is not None:
        own.append((b"x-trace-id", context.trace_id.encode()))
    own.extend(item for item in SECURITY_HEADERS.items() if item[0] not in present)
    return [*sent, *own]


def _told(failure: VitrineError, sent: Mapping[str, object]) -> dict[str, object]:
    """What a log line says of a failure. Sentences about what a caller sent stay out: they may quote it.

    Args:
        failure: what was answered.
        sent: parts of the path, by name. Nobody knows what they are when nobody could be asked for it.
    """
    if answer_of(failure).status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return {"code": failure.code}
    message = failure.message
    for name, value in sent.items():
        message = message.replace(repr(value), f"{{{name}}}")
    details = {name: value for name, value in failure.details.items() if value not in sent.values()}
    return {"code": failure.code, "error": message, "details": details}


def _route_of(scope: Scope) -> str | None:
    """The path template of the route that was chosen, once one was."""
    return getattr(scope.get("route"), "path", None)
