"""Why a caller is not let in."""

from vitrine.errors import Unavailable, VitrineError


class Unauthenticated(VitrineError):
    """No credentials, or none that are valid; which of the two the log knows, a caller does not.

    Args:
        reason: a few words for the log; nothing of what the caller sent.
    """

    code = "unauthenticated"

    def __init__(self, reason: str) -> None:
        super().__init__("This needs a valid API key or token: `Authorization: Bearer ...`.")
        self.reason = reason


class IssuerUnavailable(Unavailable):
    """A token that cannot be checked yet, since the issuer's public keys have not been read."""

    code = "issuer_unavailable"


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
