"""Who is asking, and what that allows."""

from dataclasses import dataclass
from enum import StrEnum

from vitrine.errors import CollectionNotFound
from vitrine.gateway.auth.errors import ScopeMissing


class Scope(StrEnum):
    """What a caller may do. None of them includes another: a key that searches and writes lists both."""

    SEARCH = "search"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Rate:
    """How many requests a caller may send.

    Args:
        per_second: on average, above 0.
        burst: at once after a silence, at least 1.
    """

    per_second: float
    burst: int


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that was let in.

    Args:
        id: stands in logs; never a secret. Different callers have different ones.
        scopes: what it may do.
        collections: names and aliases it may use; None: all.
        rate: how many requests it may send; None: any number.
    """

    id: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    rate: Rate | None = None

    def sees(self, collection: str) -> bool:
        """Whether the name may be used; to a caller that may not, it does not exist."""
        return self.collections is None or collection in self.collections

    def require(self, scope: Scope, collection: str | None = None) -> None:
        """Lets a request through or refuses it.

        Args:
            scope: what the route needs.
            collection: the name the request uses, if any.

        Raises:
            ScopeMissing: naming the scope.
            CollectionNotFound: somebody else's collection, told as if there were none.
        """
        if scope not in self.scopes:
            raise ScopeMissing(f"This needs the scope {scope.value!r}.", scope=scope.value)
        if collection is not None and not self.sees(collection):
            raise CollectionNotFound(f"There is no collection {collection!r:.220}.", collection=collection[:200])


ANYBODY = Principal("anybody", frozenset(Scope))
"""Every caller, where nothing is authenticated."""
