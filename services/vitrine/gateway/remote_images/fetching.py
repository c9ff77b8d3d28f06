"""Pictures by address: one GET at a time, redirects by hand, within bounds of time and size."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpcore
import httpx

from vitrine.domain import Deadline
from vitrine.errors import DeadlineExceeded, ImageUrlFailed, ImageUrlRefused
from vitrine.gateway.remote_images.address import Address, AddressRules
from vitrine.gateway.remote_images.connecting import CheckedNetwork, Resolve, SystemResolver
from vitrine.gateway.remote_images.networks import NetworkRules
from vitrine.gateway.remote_images.reasons import Failure, failed
from vitrine.settings import ImageSettings, RemoteImageSettings
from vitrine.telemetry.logging import FIELDS

logger = logging.getLogger(__name__)

_MAX_CONNECTIONS: Final = 16
"""At once. None is kept: httpcore's pool loses a place for good whenever a request is given up at the wrong moment
(encode/httpcore#1093), and giving up is what this module is for."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OK: Final = 200

_HEADERS: Final = (
    ("User-Agent", "Vitrine"),
    ("Accept", "image/jpeg, image/png, image/webp, image/gif, image/bmp, image/tiff"),
    # What is not compressed cannot grow.
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)
"""All that is sent besides `Host`: no cookies, no credentials, nothing of the caller's request."""

_PIECES_PER_MIB: Final = 1_024
_SPARE_PIECES: Final = 1_024
"""Chunks cost 6 microseconds of this process each, however little is in them; on average 1 KiB is asked of them."""


class RemoteImages:
    """Fetches pictures from the hosts of the settings. One for the whole process; keeps no connection open.

    Args:
        settings: what may be fetched, and for how long.
        max_bytes: of a picture.
        resolve: names to addresses.
        network: opens connections to addresses.
        tls: how certificates are verified.

    Raises:
        SettingsInvalid: a host or a network of the settings cannot be read.
    """

    def __init__(
        self,
        settings: RemoteImageSettings,
        max_bytes: int,
        resolve: Resolve,
        network: httpcore.AsyncNetworkBackend,
        tls: ssl.SSLContext,
    ) -> None:
        self._settings = settings
        self._max_bytes = max_bytes
        self._max_pieces = max_bytes * _PIECES_PER_MIB // (1024 * 1024) + _SPARE_PIECES
        self._rules = AddressRules(settings)
        self._tls = tls
        self._network = CheckedNetwork(resolve, NetworkRules(settings.private_networks), network)
        self._permits = asyncio.Semaphore(_MAX_CONNECTIONS)

    @property
    def max_per_request(self) -> int:
        """Most pictures fetched for one request."""
        return self._settings.max_per_request

    async def fetch(self, sent: str, deadline: Deadline) -> bytes:
        """The bytes behind an address; whether they are a picture is for the decoder to find out.

        Raises:
            ImageUrlRefused: the address, a redirect, or what the host's name stands for is not allowed.
            ImageUrlFailed: no answer, another status than 200, too large, too slow, a bad certificate.
            DeadlineExceeded: the request's own time ended first.
        """
        address = self._rules.accept(sent)
        try:
            return await self._in_time(address, deadline)
        except (ImageUrlRefused, ImageUrlFailed) as error:
            fields = {"host": address.host, "reason": error.details["reason"]}
            logger.info("An image could not be fetched.", extra={FIELDS: fields})
            raise

    async def _in_time(self, address: Address, deadline: Deadline) -> bytes:
        limit = self._settings.timeout_s
        seconds = deadline.within(limit)
        try:
            async with asyncio.timeout(seconds), self._permits:
                return await self._follow(address, seconds)
        except TimeoutError as error:
            if seconds < limit:
                raise DeadlineExceeded("The request ran out of time while an image was fetched.") from error
            raise failed(Failure.TIMEOUT, f"The image did not arrive within {limit:g} s.", timeout_s=limit) from error

    async def _follow(self, address: Address, seconds: float) -> bytes:
        for _ in range(self._settings.max_redirects + 1):
            async with self._answer(address, seconds) as answer:
                if answer.status not in _REDIRECTS:
                    return await self._picture(answer)
                location = _header(answer, b"location")
            if location is None:
                raise failed(Failure.PROTOCOL, "The image's host redirects to nowhere.")
            address = self._rules.accept_redirect(address, location)
        raise failed(
            Failure.REDIRECTS,
            f"The image's host redirects more than {self._settings.max_redirects} times.",
            maximum=self._settings.max_redirects,
        )

    @asynccontextmanager
    async def _answer(self, address: Address, seconds: float) -> AsyncIterator[httpcore.Response]:
        """The head of an answer, its body to be read within the block.

        Raises:
            TimeoutError: a connection took its share of the time.
            ImageUrlFailed: there is no answer, or none that HTTP knows.
        """
        url = httpcore.URL(scheme=address.scheme, host=address.host, port=address.port, target=address.target)
        connection = httpcore.AsyncHTTPConnection(url.origin, self._tls, network_backend=self._network)
        try:
            async with connection.stream("GET", url, headers=_HEADERS, extensions=_timeouts(seconds)) as answer:
                yield answer
        except httpcore.TimeoutException as error:
            raise TimeoutError from error
        except httpcore.NetworkError as error:
            raise _network_failure(error) from error
        except httpcore.ProtocolError as error:
            raise failed(Failure.PROTOCOL, "The image's host does not answer as HTTP demands.") from error
        finally:
            await connection.aclose()

    async def _picture(self, answer: httpcore.Response) -> bytes:
        """Reads a body, without trust in what its head says of it."""
        if answer.status != _OK:
            raise failed(Failure.STATUS, f"The image's host answers {answer.status}.", status=answer.status)
        encoding = (_header(answer, b"content-encoding") or b"identity").strip().lower()
        if encoding != b"identity":
            raise failed(Failure.ENCODING, "The image's host compresses its answer, which it was asked not to.")
        length = _header(answer, b"content-length")
        if length is not None and int(length) > self._max_bytes:
            raise self._too_large()
        body, pieces = bytearray(), 0
        async for piece in answer.aiter_stream():
            body += piece
            pieces += 1
            if len(body) > self._max_bytes:
                raise self._too_large()
            if pieces > self._max_pieces:
                raise failed(Failure.PROTOCOL, "The image's host sends its answer in crumbs.")
        return bytes(body)

    def _too_large(self) -> ImageUrlFailed:
        return failed(Failure.SIZE, f"The image is larger than {self._max_bytes} bytes.", max_bytes=self._max_bytes)


@asynccontextmanager
async def open_remote_images(
    settings: RemoteImageSettings, limits: ImageSettings
) -> AsyncIterator[RemoteImages | None]:
    """Fetching as the settings have it; None while it is off, which it is until they name a host.

    Certificates are verified with certifi's roots, or with those of `SSL_CERT_FILE` or `SSL_CERT_DIR`.

    Raises:
        SettingsInvalid: a host or a network of the settings cannot be read.
    """
    if not settings.hosts:
        yield None
        return
    resolver = SystemResolver()
    try:
        yield RemoteImages(settings, limits.max_bytes, resolver, httpcore.AnyIOBackend(), httpx.create_ssl_context())
    finally:
        resolver.close()


def _timeouts(seconds: float) -> dict[str, dict[str, float]]:
    """Connecting alone has a bound inside httpcore, so that one silent address leaves time for the next."""
    return {"timeout": {"connect": seconds}}


def _header(answer: httpcore.Response, name: bytes) -> bytes | None:
    return next((value for key, value in answer.headers if key.lower() == name), None)


def _network_failure(error: httpcore.NetworkError) -> ImageUrlFailed:
    # httpcore wraps what it maps, and drops the chain of causes on the way.
    if error.args and isinstance(error.args[0], ssl.SSLError):
        return failed(Failure.TLS, "The image's host has no certificate that can be verified.")
    return failed(Failure.CONNECTION, "The connection to the image's host failed.")
