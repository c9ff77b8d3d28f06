"""Spans, where the code runs that they are about. Imports nothing of OpenTelemetry, and does nothing while it is off.

`Tracing` (see `tracing.py`) begins a trace, for a request or for a run. Everything below finds it through a context
variable, which tasks inherit: a layer that opens a span needs no object for it, and costs one look-up when there is no
trace, or when the trace is not sampled.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from vitrine.errors import VitrineError

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from vitrine.telemetry.tracing import Tracing

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
"""What a span says. Names of our own things, numbers and closed sets; never what a caller wrote."""
Kind: TypeAlias = Literal["internal", "server", "client"]

_NOTHING: Final = nullcontext()


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Where in a trace code runs.

    Args:
        trace_id: 32 hexadecimal digits.
        headers: W3C `traceparent`, and `tracestate` where there is one, in the form of gRPC metadata.
        tracing: opens further spans.
        span: the one that is open; None: the trace is not sampled, and nothing of it is recorded.
    """

    trace_id: str
    headers: tuple[tuple[str, str], ...]
    tracing: "Tracing"
    span: "Span | None"


_current: ContextVar[TraceContext | None] = ContextVar("vitrine_trace", default=None)


def current_trace() -> TraceContext | None:
    """Where this code runs; None: tracing is off, or nothing has begun a trace."""
    return _current.get()


def recording() -> TraceContext | None:
    """As `current_trace`, and None also when the trace is not sampled."""
    context = _current.get()
    return None if context is None or context.span is None else context


def trace_headers(*, sampled_only: bool = False) -> tuple[tuple[str, str], ...]:
    """What lets the spans of a called server join the trace: metadata to send along with the call.

    Args:
        sampled_only: nothing for a trace that is not sampled, where the server would record it all the same.
    """
    context = _current.get()
    if context is None or (sampled_only and context.span is None):
        return ()
    return context.headers


def span(
    name: str, attributes: Attributes | None = None, *, kind: Kind = "internal", links: Sequence[TraceContext] = ()
) -> AbstractContextManager[None]:
    """A span around a block, inside the current one. An error that leaves the block gives it its type, not its words.

    Args:
        name: from a closed set.
        attributes: known beforehand; others by `annotate`.
        kind: `client` around a call to another process.
        links: spans elsewhere that this one has to do with.
    """
    context = _current.get()
    if context is None or context.span is None:
        return _NOTHING
    return _OpenSpan(context.tracing.begin(name, kind, context.span, attributes, links))


def share_span(name: str, attributes: Attributes | None = None) -> AbstractContextManager[None]:
    """As `span`, for one of many equal steps of a run: the first, and the configured share of the rest up to a number.

    What a step that is not chosen calls is told that it is not sampled.
    """
    context = _current.get()
    if context is None or context.span is None:
        return _NOTHING
    if context.tracing.chooses(name):
        return _OpenSpan(context.tracing.begin(name, "internal", context.span, attributes, ()))
    return resumed(context.tracing.unsampled(context))


def resumed(context: TraceContext | None) -> AbstractContextManager[None]:
    """Runs a block at another place of a trace than its task: where the work was asked for, say."""
    return _Resumed(context)


def annotate(attributes: Attributes) -> None:
    """Adds to what the current span says."""
    if (here := _open()) is not None:
        here.set_attributes(attributes)


def add_event(name: str, attributes: Attributes | None = None) -> None:
    """Notes a moment in the current span: a refusal, another try."""
    if (here := _open()) is not None:
        here.add_event(name, attributes)


def link_to(other: TraceContext | None) -> None:
    """Links the current span to one elsewhere, such as a batch that answers several requests."""
    if other is not None and other.span is not None and (here := _open()) is not None:
        here.add_link(other.span.get_span_context())


def _open() -> "Span | None":
    """The current span, unless it has ended: work for a request may outlive it by a moment."""
    context = _current.get()
    if context is None or context.span is None or not context.span.is_recording():
        return None
    return context.span


class _Resumed:
    """Makes a context the current one for a block."""

    __slots__ = ("_context", "_token")
    _token: Token[TraceContext | None]

    def __init__(self, context: TraceContext | None) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._token = _current.set(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._token)


class _OpenSpan(_Resumed):
    """As `_Resumed`, for a span that began with the block and ends with it."""

    __slots__ = ()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._context is not None:
            end(self._context, error)


def end(context: TraceContext, error: BaseException | None = None) -> None:
    """Ends a context's span; with an error, as failed. Its words stay out: they may quote what a caller wrote."""
    if context.span is None:
        return
    if error is not None:
        context.tracing.mark_failed(
            context.span, error.code if isinstance(error, VitrineError) else type(error).__name__
        )
    context.span.end()
