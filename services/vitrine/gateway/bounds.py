"""What the numbers of a request lie between: told with every refusal, and written into the OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from vitrine.gateway.schemas.search import MAX_OFFSET, MAX_WEIGHT
from vitrine.settings import Settings


class Bounds(NamedTuple):
    """Least and most, both allowed."""

    minimum: float
    maximum: float


_FIXED: Final[Mapping[str, Bounds]] = {
    "offset": Bounds(0, MAX_OFFSET),
    "min_score": Bounds(-1, 1),
    "relative_cut": Bounds(0, 1),
    "weight": Bounds(-MAX_WEIGHT, MAX_WEIGHT),
}


def bounds_of(settings: Settings) -> dict[str, Bounds]:
    """The bounds of every member that is a number, by its name, which means the same wherever it stands."""
    return {
        **_FIXED,
        "limit": Bounds(1, settings.gateway.max_limit),
        "timeout_ms": Bounds(1, settings.gateway.max_timeout_ms),
    }


def member_of(path: Sequence[object]) -> str:
    """The member that a path into a request ends at, by its name in `bounds_of`: `X-Timeout-Ms` is `timeout_ms`."""
    last = next((step for step in reversed(path) if isinstance(step, str)), "")
    return last.removeprefix("X-").replace("-", "_").lower()
