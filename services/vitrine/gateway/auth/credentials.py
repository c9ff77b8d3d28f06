"""What a request brings to show who sends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vitrine.gateway.auth.errors import Unauthenticated

KEY_PREFIX: Final = "vitrine_"
MAX_CREDENTIAL_BYTES: Final = 8 * 1024
"""A key has 52 to 114 bytes; tokens with many groups reach a few thousand."""

_AUTHORIZATION: Final = b"authorization"
_API_KEY: Final = b"x-api-key"


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret, so it has no text form of its own that could get into a log."""

    secret: str
    is_key: bool

    def __repr__(self) -> str:
        return f"Credential(is_key={self.is_key})"


def credential_in(headers: Iterable[tuple[bytes, bytes]]) -> Credential:
    """The one credential in a request's headers.

    It is a key or a token behind `Authorization: Bearer`, or a key in `X-API-Key`. Other
    schemes of `Authorization` belong to somebody in between, such as a proxy, and are passed over.

    Args:
        headers: lower-case names and values, as ASGI has them.

    Raises:
        Unauthenticated: there is none, more than one, or one that is too long. Two could be checked by one party and
            used by another.
    """
    found: list[tuple[bytes, bool]] = []
    for name, value in headers:
        if name == _AUTHORIZATION:
            scheme, _, rest = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found.append((rest.strip(), False))
        elif name == _API_KEY:
            found.append((value.strip(), True))
    if not found:
        raise Unauthenticated("no credentials")
    if len(found) > 1:
        raise Unauthenticated("several credentials")
    value, must_be_key = found[0]
    if not value or len(value) > MAX_CREDENTIAL_BYTES:
        raise Unauthenticated("malformed credentials")
    secret = value.decode("latin-1")
    return Credential(secret, must_be_key or secret.startswith(KEY_PREFIX))
