"""Shoppers who look around: counts beside the results, a filter, the pages after the first, designs, similar ones."""

import random
from typing import Any, Final

from loadtest.scenarios.journey import Content, Journey, Shop

FACETS: Final = "search: facets"
FILTER: Final = "search: filter"
NEXT_PAGE: Final = "search: next page"
GROUPS: Final = "search: groups"
SIMILAR: Final = "search: similar"

_PAGE: Final = 24
_MOST_PAGES: Final = 3
_READING_S: Final = (1.5, 6.0)


def look_around(shop: Shop, rng: random.Random) -> Journey:
    """A query with facets, a value of theirs as a filter, further pages; then designs, or what is like a product."""
    query = shop.log.draw(rng)
    found = yield shop.search(FACETS, query=query, limit=_PAGE, facets=list(shop.facets))
    narrowed: dict[str, Any] = {"query": query, "limit": _PAGE}
    if condition := _choose(found, rng):
        narrowed["filter"] = condition
        found = yield shop.search(FILTER, after_s=rng.uniform(*_READING_S), **narrowed)
    for _ in range(rng.choices(range(_MOST_PAGES + 1))[0]):
        if not found["next_cursor"]:
            break
        # A last page may be empty: that there was one more hit is known only when it is looked for.
        cursor = found["next_cursor"]
        found = yield shop.search(NEXT_PAGE, cursor=cursor, after_s=rng.uniform(*_READING_S), finds=False, **narrowed)
    if shop.group_by and rng.random() < 0.5:
        yield shop.search(GROUPS, query=query, limit=_PAGE, group_by=shop.group_by, after_s=rng.uniform(*_READING_S))
    elif found["hits"]:
        like = [{"id": rng.choices(found["hits"])[0]["id"]}]
        yield shop.search(SIMILAR, query=like, limit=_PAGE, after_s=rng.uniform(*_READING_S))


def _choose(found: Content, rng: random.Random) -> dict[str, Any] | None:
    """A value that the answer counted, as a condition; frequent ones are chosen more often."""
    counted = [
        (field, value["value"], value["count"]) for field, facet in found["facets"].items() for value in facet["values"]
    ]
    if not counted:
        return None
    field, value, _ = rng.choices(counted, [count for _, _, count in counted])[0]
    return {"field": field, "op": "eq", "value": value}
