"""What one request carries from the edge to its route."""

from dataclasses import dataclass, field

from starlette.types import Scope

from vitrine.errors import VitrineError
from vitrine.gateway.auth.principal import Principal
from vitrine.gateway.auth.rates import TokenBucket
from vitrine.telemetry.stages import StageClock

_KEY = "vitrine.context"


@dataclass(slots=True)
class RequestContext:
    """Made at the edge, filled on the way, read by the answer, the log line and the metrics.

    Args:
        request_id: the caller's, or a new one.
        clock: times of the stages; starts anew when the body is complete, since its way here is not our work.
        trace_id: None when tracing is off.
        trace_sampled: the trace is recorded, so that whoever has its id can look it up.
        principal: who asks; None where no route of the API is meant.
        allowance: what the caller's requests are taken from; None when nothing limits them.
        failure: the error that was answered, if any.
        facts: more fields for the log line.
    """

    request_id: str
    clock: StageClock
    trace_id: str | None = None
    trace_sampled: bool = False
    principal: Principal | None = None
    allowance: TokenBucket | None = None
    failure: VitrineError | None = None
    facts: dict[str, object] = field(default_factory=dict)

    def attach(self, scope: Scope) -> None:
        """Makes the context findable from the ASGI scope."""
        scope[_KEY] = self

    def charge(self, requests: int) -> None:
        """Charges a request that stands for several. The edge has charged every request 1; this is what comes on top.

        Args:
            requests: for n searches in one request, n - 1.

        Raises:
            RateLimited: the caller's rate does not allow that many now; nothing has been done yet.
        """
        if self.allowance is not None and requests > 0:
            self.allowance.take_more(requests)

    @staticmethod
    def of(scope: Scope) -> "RequestContext":
        """The context of a request that came through the edge."""
        context: RequestContext = scope[_KEY]
        return context
