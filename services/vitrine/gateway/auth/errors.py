"""Why a caller is not let in."""

from vitrine.errors import VitrineError


class Unauthenticated(VitrineError):
    """No credentials, or none that are valid; which of the two the log knows, a caller does not."""

    code = "unauthenticated"


class ScopeMissing(VitrineError):
    """Valid credentials that do not allow this kind of request."""

    code = "scope_missing"


class CrossSite(VitrineError):
    """A page of another site tries to change something through somebody's browser."""

    code = "cross_site"


class RateLimited(VitrineError):
    """More requests than the caller's key may send in this time.

    Args:
        retry_after_s: whole seconds after which the next one is let through.
    """

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int, **details: object) -> None:
        super().__init__(message, retry_after_s=retry_after_s, **details)
        self.retry_after_s = retry_after_s
