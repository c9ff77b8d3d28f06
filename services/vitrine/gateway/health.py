"""/livez and /readyz: is this process alive, and would a search work now."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from vitrine.domain import Deadline
from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    ContractMismatch,
    DeadlineExceeded,
    InternalError,
    Unavailable,
    VitrineError,
)
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import Draining, NotReady, answer_of, detail_of, problem_response
from vitrine.gateway.shapes import json_response
from vitrine.search.request import Check
from vitrine.search.searcher import Searcher
from vitrine.settings import GatewaySettings
from vitrine.telemetry.logging import FIELDS
from vitrine.telemetry.metrics import GatewayMetrics

logger = logging.getLogger(__name__)

DEPENDENCY_OF: Final[Mapping[str, str]] = {"triton": "triton", "collection": "milvus"}
"""Which dependency a check of `Searcher.check_readiness` asks."""
# What a check may overstay its own deadline before it counts as without an answer.
_GRACE_S: Final = 0.25


class Readiness:
    """Asks the dependencies, at most once per `readiness_cache_s` however many ask, and never for long.

    Args:
        searcher: what is asked.
        metrics: where the state of the dependencies is kept.
        settings: of the gateway.
    """

    def __init__(self, searcher: Searcher, metrics: GatewayMetrics, settings: GatewaySettings) -> None:
        self._searcher = searcher
        self._metrics = metrics
        self._settings = settings
        self._asking: asyncio.Task[tuple[Check, ...]] | None = None
        self._fresh_until = 0.0
        self._draining = False
        self._told: dict[str, str | None] = {}

    def drain(self) -> None:
        """From now on not ready, whatever the dependencies say."""
        self._draining = True
        self._metrics.ready.set(0)

    async def checks(self) -> tuple[Check, ...]:
        """The latest answers; asks anew when they are older than the cache time."""
        if self._asking is None or (self._asking.done() and time.monotonic() >= self._fresh_until):
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def response(self, context: RequestContext) -> Response:
        """The answer of /readyz: 200, or 503 as a problem; both with one line per check."""
        checks = await self.checks()
        report: dict[str, object] = {
            "fingerprint": self._searcher.encoder.contract.fingerprint,
            "checks": [_line(check) for check in checks],
        }
        reasons = [detail_of(check.error) for check in checks if check.error is not None]
        if not reasons and not self._draining:
            return json_response({"status": "ready", **report}, headers={"Cache-Control": "no-store"})
        error = Draining("The process is shutting down.") if self._draining else NotReady(" ".join(reasons))
        context.failure = error
        return problem_response(error, context, report)

    async def _ask(self) -> tuple[Check, ...]:
        timeout_s = self._settings.readiness_timeout_s
        try:
            async with asyncio.timeout(timeout_s + _GRACE_S):
                checks = await self._searcher.check_readiness(
                    self._settings.default_collection, Deadline.after(timeout_s)
                )
        except TimeoutError:
            checks = _all_failed(DeadlineExceeded(f"No answer within {timeout_s:g} s."))
        except Exception:
            # /metrics asks too, and must answer above all when something unforeseen is wrong.
            logger.exception("A readiness check failed unexpectedly.")
            checks = _all_failed(InternalError("The check itself failed; the log says how."))
        self._fresh_until = time.monotonic() + self._settings.readiness_cache_s
        self._publish(checks)
        self._tell_changes(checks)
        if not any(_unanswered(check.error) for check in checks if DEPENDENCY_OF[check.name] == "milvus"):
            await self._tell_collection()
        return checks

    async def _tell_collection(self) -> None:
        """How old the default collection is and how large. The directory mostly knows: a check has just asked it."""
        timeout_s = self._settings.readiness_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                told = await self._searcher.directory.resolve(
                    self._settings.default_collection, Deadline.after(timeout_s)
                )
        except (CollectionNotFound, CollectionNotReady):
            self._metrics.collection_indexed.set(None)
            self._metrics.collection_rows.set(None)
        except (VitrineError, TimeoutError):
            return  # Milvus is silent, which makes nothing older
        else:
            at = told.lineage.indexed_at
            self._metrics.collection_indexed.set(None if at is None else at.timestamp())
            self._metrics.collection_rows.set(told.rows)

    def _tell_changes(self, checks: tuple[Check, ...]) -> None:
        """One log line when a check fails, fails otherwise or is well again; probes come every second."""
        for check in checks:
            code = None if check.error is None else check.error.code
            if self._told.get(check.name) == code:
                continue
            self._told[check.name] = code
            if check.error is None:
                logger.info("Readiness check %s passes again.", check.name)
            else:
                fields = {"code": code, "error": check.error.message, "details": check.error.details}
                logger.warning("Readiness check %s fails.", check.name, extra={FIELDS: fields})

    def _publish(self, checks: tuple[Check, ...]) -> None:
        for check in checks:
            self._metrics.dependency_up[DEPENDENCY_OF[check.name]].set(not _unanswered(check.error))
        self._metrics.contract_mismatch.set(any(isinstance(check.error, ContractMismatch) for check in checks))
        self._metrics.ready.set(not self._draining and all(check.error is None for check in checks))


def _all_failed(error: VitrineError) -> tuple[Check, ...]:
    return tuple(Check(name, error) for name in DEPENDENCY_OF)


def _unanswered(error: VitrineError | None) -> bool:
    """Whether the dependency itself was silent; a collection that is not loaded was told by a Milvus that is up."""
    return isinstance(error, (Unavailable, DeadlineExceeded)) and not isinstance(error, CollectionNotReady)


def _line(check: Check) -> dict[str, Any]:
    if check.error is None:
        return {"name": check.name, "ok": True}
    return {
        "name": check.name,
        "ok": False,
        "code": check.error.code,
        "detail": detail_of(check.error),
        "details": check.error.details if answer_of(check.error).told else {},
    }
