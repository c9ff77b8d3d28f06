"""What a call can end in besides its answer."""

from collections.abc import Mapping
from typing import Any

from vitrine.errors import Unavailable, VitrineError

UNEXPECTED_ANSWER = "unexpected_answer"
"""Code of an answer that no gateway gives: a proxy's own page, or JSON of another shape."""


class ApiError(VitrineError):
    """The gateway refused, or something in front of it did. Match on `code`, never on the message.

    Args:
        status: HTTP status.
        code: the problem's `code`; `unexpected_answer` when the answer was no problem document.
        message: the problem's `detail`.
        request_id: what to ask the operator about.
        details: the problem's figures for machines, such as the limit that was exceeded.
        retry_after_s: seconds after which the gateway would like to be asked again, where it says so.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        request_id: str = "",
        details: Mapping[str, Any] | None = None,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code  # type: ignore[misc]  # an instance's own code: the server chose it
        self.request_id = request_id
        self.details = dict(details or {})
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is rebuilt from its message alone unless told otherwise, and so could not leave a worker process.
        positional = (self.status, self.code, self.message, self.request_id, self.details)
        return type(self), positional, {"retry_after_s": self.retry_after_s}


class GatewayUnreachable(Unavailable):
    """Nothing answers at the gateway's address, or not in time."""

    code = "gateway_unreachable"
