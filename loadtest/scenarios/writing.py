"""A shop that keeps its catalogue up to date meanwhile: items of the test's own, in a collection of its own."""

import itertools
import random
from collections.abc import Iterator
from typing import Final

from loadtest.scenarios.journey import Ask, Journey, Shop, form

PUT: Final = "item: put"
DELETE: Final = "item: delete"
ID_PREFIX: Final = "loadtest-"
"""Of every item that a load test writes. A collection with any other item is not written to."""

_PAUSE_S: Final = (0.5, 2.0)
_REPLACED: Final = 0.5


def item_ids(run: str, process: int) -> Iterator[str]:
    """Ids that no other run and no other process of it uses."""
    return (f"{ID_PREFIX}{run}-{process}-{number}" for number in itertools.count())


def keep_an_item(shop: Shop, rng: random.Random, ids: Iterator[str]) -> Journey:
    """An item comes, is changed at times, and goes."""
    path = f"/v1/collections/{shop.scratch}/items/{next(ids)}"
    yield _put(shop, rng, path, "new")
    if rng.random() < _REPLACED:
        yield _put(shop, rng, path, "changed", after_s=rng.uniform(*_PAUSE_S))
    yield Ask(DELETE, "DELETE", path, after_s=rng.uniform(*_PAUSE_S))


def _put(shop: Shop, rng: random.Random, path: str, title: str, after_s: float = 0.0) -> Ask:
    body, content_type = form(shop.picture(rng), title=title)
    return Ask(PUT, "PUT", path, body, content_type, after_s)
