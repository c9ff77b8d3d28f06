"""Refusals in an overload, before anything is done that only an answer needs.

They are most of what an overloaded gateway answers, so what one of them costs is taken from the searches that it still
can answer. Hence no trace and no log line for each; they are counted, and a line a second tells how many there were.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from vitrine.gateway.admission import Permits, needs_permit
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import problem_response, shed_reason
from vitrine.gateway.middleware import request_id_of, with_own_headers
from vitrine.telemetry.logging import FIELDS
from vitrine.telemetry.metrics import GatewayMetrics
from vitrine.telemetry.stages import StageClock

logger = logging.getLogger(__name__)

TOLD_EVERY_S: Final = 1.0
# Of what a request id may consist, so that a document has it as it is.
_ANY_ID: Final = ":the-request-id:"

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values."""


class Refusal(NamedTuple):
    """The answer to one request."""

    status: int
    headers: Headers
    body: bytes


class Refusals:
    """What is answered while all permits are in use, whoever asks: who that is has not been looked at.

    Args:
        permits: those that `Admission` gives.
        metrics: where refusals are counted.
    """

    def __init__(self, permits: Permits, metrics: GatewayMetrics) -> None:
        self._permits = permits
        self._metrics = metrics
        error = permits.refusal()
        self._code = error.code
        self._reason = shed_reason(error)
        # Written once, by those who write every other error; but for the id all are alike.
        context = RequestContext(_ANY_ID, StageClock())
        response = problem_response(error, context)
        self._status = response.status_code
        self._body = bytes(response.body).split(_ANY_ID.encode())
        self._headers = [
            header
            for header in with_own_headers(response.raw_headers, context)
            if header[0] not in (b"content-length", b"x-request-id")
        ]
        self._untold = 0
        self._telling: asyncio.TimerHandle | None = None

    @property
    def due(self) -> bool:
        """Whether a request that needs a permit is to be refused now."""
        return self._permits.exhausted

    def answer(self, method: str, headers: Headers) -> Refusal:
        """Refuses a request: counts it, and says what is to be sent."""
        began = time.perf_counter()
        request_id = request_id_of(headers).encode()
        body = request_id.join(self._body)
        own = [(b"content-length", str(len(body)).encode()), (b"x-request-id", request_id)]
        self._metrics.observe_request(None, method, self._status, time.perf_counter() - began)
        self._metrics.count_error(self._code, self._reason)
        self._untold += 1
        if self._telling is None:
            self._tell()
        return Refusal(self._status, self._headers + own, body)

    def _tell(self) -> None:
        """The first refusal at once, and those that follow it once a second for as long as there are any."""
        self._telling = None
        if self._untold > 0:
            logger.warning(
                "Requests were refused, as all permits were in use.",
                extra={FIELDS: {"code": self._code, "refused": self._untold, "permits": self._permits.total}},
            )
            self._untold = 0
            self._telling = asyncio.get_running_loop().call_later(TOLD_EVERY_S, self._tell)


class Shedding:
    """Sends refusals, outermost: of large pictures, say. Plain requests the server refuses by itself (`protocol`).

    Args:
        app: the next ASGI application.
        refusals: what is sent.
    """

    def __init__(self, app: ASGIApp, refusals: Refusals) -> None:
        self._app = app
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._refusals.due or not needs_permit(scope):
            await self._app(scope, receive, send)
            return
        status, headers, body = self._refusals.answer(scope["method"], scope["headers"])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
