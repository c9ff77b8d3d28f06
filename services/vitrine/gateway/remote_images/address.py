"""Addresses of pictures: parsed by the letter, and held against what the settings allow. Nothing is resolved here."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from vitrine.errors import ImageUrlRefused, SettingsInvalid
from vitrine.gateway.remote_images.reasons import Refusal, refused
from vitrine.settings import RemoteImageSettings

MAX_ADDRESS_BYTES: Final = 4_096
"""Signed addresses of object stores, with a session token in them, have about 2,000."""
_MAX_HOST_BYTES: Final = 253

DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_PLAIN: Final = re.compile(r"(?:[!$&'()*+,\-./0-9:;=?@A-Z_a-z~\[\]]|%[0-9A-Fa-f]{2})+", re.ASCII)
"""What RFC 3986 lets stand in an address, without `#`. Parsers disagree about all else: backslashes, tabs, spaces."""
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?P<host>\[[^\[\]/?@]*\]|[^/?@:\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<target>[/?][^\[\]]*)?",
    re.ASCII,
)
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label of this kind makes the C library, and browsers, read the whole host as an IPv4 address."""


@dataclass(frozen=True, slots=True)
class Address:
    """An address that was accepted.

    Args:
        host: in lower case, without a trailing dot.
        target: path and query, as sent; begins with `/`.
    """

    scheme: str
    host: str
    port: int
    target: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.target}"


class AddressRules:
    """Which addresses may be fetched from at all.

    Args:
        settings: hosts, ports and schemes.

    Raises:
        SettingsInvalid: a host that is no name, nor `*.` and a name.
    """

    def __init__(self, settings: RemoteImageSettings) -> None:
        self._schemes = frozenset(settings.schemes)
        self._ports = frozenset(settings.ports)
        names = [_listed(host) for host in settings.hosts]
        self._hosts = frozenset(name for name in names if not name.startswith("."))
        self._suffixes = tuple(name for name in names if name.startswith("."))

    def accept(self, sent: str) -> Address:
        """Checks an address.

        Raises:
            ImageUrlRefused: its `reason` says which rule it breaks.
        """
        found = _ADDRESS.fullmatch(sent) if len(sent) <= MAX_ADDRESS_BYTES and _PLAIN.fullmatch(sent) else None
        if found is None:
            raise refused(
                Refusal.MALFORMED,
                "The image's address is not of the form https://host/path, in ASCII, with everything else "
                f"percent-encoded, without user or fragment, of {MAX_ADDRESS_BYTES} bytes at most.",
            )
        scheme = found["scheme"].lower()
        if scheme not in self._schemes:
            raise refused(Refusal.SCHEME, f"Images are not fetched by {scheme}.", allowed=sorted(self._schemes))
        host = _host(found["host"])
        if host not in self._hosts and not host.endswith(self._suffixes):
            raise refused(Refusal.HOST, f"Images are not fetched from {host}.", host=host)
        port = int(found["port"] or DEFAULT_PORTS[scheme])
        if port not in self._ports:
            raise refused(Refusal.PORT, f"Images are not fetched from port {port}.", allowed=sorted(self._ports))
        target = found["target"] or "/"
        return Address(scheme, host, port, target if target.startswith("/") else f"/{target}")

    def accept_redirect(self, origin: Address, location: bytes) -> Address:
        """Checks where a server points to. It may name another host, and then passes the same checks as any address.

        Raises:
            ImageUrlRefused: also when the redirect gives up encryption. It tells nothing of where the redirect leads:
                that is the server's to say, not ours.
        """
        try:
            text = location.decode("ascii")
            # Before joining: that would take out tabs and line ends, and what remains might pass.
            joined = urljoin(str(origin), text) if _PLAIN.fullmatch(text) else ""
            address = self.accept(joined)
        except ValueError as error:
            raise _elsewhere(Refusal.MALFORMED.value) from error
        except ImageUrlRefused as error:
            raise _elsewhere(error.details["reason"]) from error
        if origin.scheme == "https" and address.scheme != "https":
            raise _elsewhere(Refusal.SCHEME.value)
        return address


def _host(sent: str) -> str:
    """A host's name, in lower case and without the dot that may end it.

    Raises:
        ImageUrlRefused: it is no name but a number in some spelling, or nothing at all.
    """
    host = sent.lower().removesuffix(".")
    labels = host.split(".")
    if host.startswith("[") or _NUMBER.fullmatch(labels[-1]):
        raise refused(Refusal.NUMERIC, "Images are fetched from hosts by name, never by an IP address.")
    if len(host) > _MAX_HOST_BYTES or not all(_LABEL.fullmatch(label) for label in labels):
        raise refused(Refusal.MALFORMED, "The host in the image's address is no name.")
    return host


def _listed(host: str) -> str:
    """A host of the settings; of `*.example.com` the part from its dot on."""
    name = host.removeprefix("*.")
    try:
        plain = _host(name)
    except ImageUrlRefused as error:
        raise SettingsInvalid(
            f"remote_images.hosts has {host!r}; it takes names such as images.example.com or *.example.com.", host=host
        ) from error
    return plain if name == host else f".{plain}"


def _elsewhere(reason: object) -> ImageUrlRefused:
    return ImageUrlRefused("A redirect led to an address that images are not fetched from.", reason=reason)
