"""Why an address gave no picture: the closed sets behind `details.reason`."""

from enum import StrEnum

from vitrine.errors import ImageUrlFailed, ImageUrlRefused


class Refusal(StrEnum):
    """Nothing was asked of anybody: the address itself is not accepted."""

    OFF = "off"
    MALFORMED = "malformed"
    SCHEME = "scheme"
    NUMERIC = "numeric_host"
    HOST = "host"
    PORT = "port"
    NETWORK = "network"


class Failure(StrEnum):
    """The address is accepted, but no picture came."""

    UNRESOLVED = "unresolved"
    CONNECTION = "connection"
    TLS = "tls"
    PROTOCOL = "protocol"
    STATUS = "status"
    REDIRECTS = "redirects"
    ENCODING = "encoding"
    SIZE = "size"
    TIMEOUT = "timeout"


def refused(reason: Refusal, message: str, **details: object) -> ImageUrlRefused:
    """The error of an address that is not accepted."""
    return ImageUrlRefused(message, reason=reason.value, **details)


def failed(reason: Failure, message: str, **details: object) -> ImageUrlFailed:
    """The error of an address that gave no picture."""
    return ImageUrlFailed(message, reason=reason.value, **details)
