"""Nothing of a rendered pod is left out in silence."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any


class NotTranslated(Exception):
    """The pod has something that podman is not told of."""


def known(what: str, found: Mapping[str, Any], names: AbstractSet[str]) -> None:
    """Raises NotTranslated when there is a field besides these."""
    if strange := sorted(set(found) - names):
        raise NotTranslated(f"{what}: {', '.join(strange)}")


def same(what: str, found: object, wanted: object) -> None:
    """Raises NotTranslated when a field has another value than the only one that is known here."""
    if found != wanted:
        raise NotTranslated(f"{what} is {found!r}, and only {wanted!r} is known here")
