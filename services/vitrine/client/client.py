"""A small typed client of the HTTP API, used by the command line, the evaluation and the load tests."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from pydantic import BaseModel, ConfigDict

from vitrine.errors import Unavailable, VitrineError

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class ApiError(VitrineError):
    """The gateway refused; carries its stable code, its sentence and the request id.

    Args:
        status: HTTP status.
        code: the problem's `code`.
        message: the problem's `detail`.
        request_id: what to ask the operator about.
    """

    def __init__(self, status: int, code: str, message: str, request_id: str) -> None:
        super().__init__(message, status=status, request_id=request_id)
        self.status = status
        self.code = code  # type: ignore[misc]  # an instance's own code: the server chose it
        self.request_id = request_id


class GatewayUnreachable(Unavailable):
    """Nothing answers at the gateway's address, or not in time."""

    code = "gateway_unreachable"


class _Answer(BaseModel):
    # Fields that a newer server adds must not break an older client.
    model_config = ConfigDict(extra="ignore", frozen=True)


class SearchHit(_Answer):
    """One product. `score` is cosine similarity, higher is better."""

    id: str
    score: float
    title: str = ""
    group: str = ""
    image_url: str | None = None
    metadata: Mapping[str, str | int | float | bool] = {}


class SearchModel(_Answer):
    """The embedding model that answered."""

    name: str
    fingerprint: str


class SearchAnswer(_Answer):
    """The answer to one search; `took_ms` holds the server's own times by stage and `total`."""

    hits: Sequence[SearchHit]
    took_ms: Mapping[str, float]
    collection: str
    model: SearchModel
    warnings: Sequence[str] = ()
    request_id: str = ""


class Client:
    """Talks to one gateway over a pool of kept-alive connections. Close it, or use it as a context manager.

    Args:
        base_url: such as http://127.0.0.1:8080
        timeout_s: longest a whole call may take on this side.
    """

    def __init__(self, base_url: str, *, timeout_s: float = 10.0) -> None:
        # A proxy of the environment is for the world outside; it cannot reach this machine's loopback.
        proxied = httpx.URL(base_url).host not in _LOOPBACK
        self._http = httpx.Client(base_url=base_url, timeout=timeout_s, trust_env=proxied)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def search(
        self, collection: str, query: str | Sequence[Mapping[str, object]], *, limit: int = 20, **options: object
    ) -> SearchAnswer:
        """Searches a collection or alias.

        Args:
            query: a text, or weighted parts such as {"image": "data:...", "weight": 0.5}.
            options: further members of the request body: filter, params, min_score, timeout_ms, offset.

        Raises:
            ApiError: the gateway refused.
            GatewayUnreachable: no answer.
        """
        body = {"query": query, "limit": limit, **options}
        return SearchAnswer.model_validate(self._call("POST", f"/v1/collections/{collection}/search", json=body))

    def picture(self, image_url: str) -> bytes:
        """Fetches a hit's picture; `image_url` may be relative to the gateway.

        Raises:
            ApiError, GatewayUnreachable
        """
        return self._send("GET", image_url).content

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        return self._send(method, path, **arguments).json()

    def _send(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise GatewayUnreachable(f"The gateway at {self._http.base_url} does not answer: {error}") from error
        if response.is_success:
            return response
        raise _problem(response)


def _problem(response: httpx.Response) -> ApiError:
    """Reads problem+json; anything else on the way (a proxy's own page) keeps its status and gets a code of ours."""
    try:
        problem = response.json()
        code, message = str(problem["code"]), str(problem["detail"])
        request_id = str(problem.get("request_id", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        code, request_id = "unexpected_answer", response.headers.get("x-request-id", "")
        message = f"HTTP {response.status_code} without a problem document, from {response.request.url}."
    return ApiError(response.status_code, code, message, request_id)
