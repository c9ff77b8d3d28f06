"""Where the gateway is, and what goes with every request to it."""

from importlib.metadata import version
from typing import Any, Final

import httpx
from pydantic import SecretStr

from vitrine.client.call import Call, Received, unexpected
from vitrine.client.waiting import Tries
from vitrine.errors import InvalidInput

DEFAULT_TIMEOUT_S: Final = 15.0
"""More than a gateway with its default limits takes for anything, so that it is the one to say what was too slow."""
DEFAULT_RETRIES: Final = 2
MOST_RETRIES: Final = 10
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Far above any answer of the API; what is longer comes from somewhere else."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Endpoint:
    """One gateway's address, the key it is asked with, and how patiently.

    Args:
        base_url: such as http://127.0.0.1:8080
        api_key: sent as a bearer token to this gateway and to nobody else.
        timeout_s: longest a whole call may take on this side, further tries and their pauses included.
        retries: most tries after the first.

    Raises:
        InvalidInput: one of them cannot be used.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, retries: int) -> None:
        self.url = _checked_url(base_url)
        self._authorization = SecretStr(f"Bearer {_checked_key(api_key)}" if api_key else "")
        if not timeout_s > 0:
            raise InvalidInput(f"A call needs some time: timeout_s is {timeout_s:g}.")
        if not 0 <= retries <= MOST_RETRIES:
            raise InvalidInput(f"retries is a number from 0 to {MOST_RETRIES}, not {retries}.")
        self._timeout_s = timeout_s
        self._retries = retries

    def __repr__(self) -> str:
        return f"{self.url}"

    def options(self) -> dict[str, Any]:
        """What both of httpx's clients are made with."""
        return {
            "base_url": self.url,
            "headers": {"User-Agent": f"vitrine/{version('vitrine')}"},
            # A proxy of the environment is for the world outside; it cannot reach this machine's loopback.
            "trust_env": self.url.host not in _LOOPBACK,
        }

    def tries(self, call: Call[Any]) -> Tries:
        """The tries of a call that begins now."""
        return Tries(retries=self._retries, timeout_s=self._timeout_s, patient=call.patient)

    def request(self, http: httpx.Client | httpx.AsyncClient, call: Call[Any], tries: Tries) -> httpx.Request:
        """A call as a request.

        Raises:
            InvalidInput: the address of a picture is none.
            httpx.ReadTimeout: no time is left.
        """
        try:
            request = http.build_request(
                call.method,
                call.path,
                headers=call.headers,
                params=call.params,
                content=call.content,
                data=call.form,
                files=call.files,
                timeout=tries.limits(),
            )
        except httpx.InvalidURL as error:
            raise InvalidInput(f"{call.path[:200]!r} is no address: {error}.") from error
        # Pictures may be on another server, which has no business with the key.
        if self._authorization and self._is_own(request.url):
            request.headers["Authorization"] = self._authorization.get_secret_value()
        return request

    def server_of(self, call: Call[Any]) -> str:
        """Who is asked, for a message."""
        other = httpx.URL(call.path)
        if other.is_absolute_url:
            return f"The server at {other.scheme}://{other.netloc.decode()}"
        return f"The gateway at {self}"

    def _is_own(self, url: httpx.URL) -> bool:
        return (url.scheme, url.host, url.port) == (self.url.scheme, self.url.host, self.url.port)


class Inflow:
    """An answer's content as it arrives, bounded in size and time."""

    def __init__(self, response: httpx.Response, tries: Tries) -> None:
        self._response = response
        self._tries = tries
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Takes the next piece.

        Raises:
            ApiError: it is too much.
            httpx.ReadTimeout: it took too long.
        """
        self._content += chunk
        if len(self._content) > MAX_ANSWER_BYTES:
            raise unexpected(self.received(), f"more than {MAX_ANSWER_BYTES} bytes")
        self._tries.remaining()

    def received(self) -> Received:
        """What came."""
        response = self._response
        return Received(response.status_code, response.headers, bytes(self._content), str(response.url))


def _checked_url(base_url: str) -> httpx.URL:
    # What is before an `@` may be a password, and stays out of the message.
    shown = repr(base_url.rpartition("@")[2])
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL as error:
        raise InvalidInput(f"{shown} is no address of a gateway: {error}.") from None
    if url.userinfo:
        raise InvalidInput("A gateway's address holds no user or password; a key is given as api_key.")
    if url.scheme not in ("http", "https") or not url.host:
        raise InvalidInput(f"{shown} is no address of a gateway, which is like http://127.0.0.1:8080.")
    return url


def _checked_key(api_key: str) -> str:
    # What httpx says of a header it cannot send has the header in it.
    if not (api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise InvalidInput("The API key holds characters that no key has, such as a line's end.")
    return api_key
