"""Shoppers who type: results follow the letters, Enter asks for a whole page, and who found too much says more."""

import random
from typing import Final

from loadtest.scenarios.journey import Journey, Shop

PREFIX: Final = "search: prefix"
QUERY: Final = "search: query"
REFINED: Final = "search: refined"

_FIRST_LETTERS: Final = 3
_KEYSTROKE_S: Final = 0.2
_PREFIX_LIMIT: Final = 8
_PAGE: Final = 24
_REFINING: Final = 0.35
_READING_S: Final = (2.0, 8.0)


def prefixes(query: str, rng: random.Random) -> list[str]:
    """What stands in the box whenever the typing rests: from three letters on, every two to four keystrokes."""
    ends, end = [], _FIRST_LETTERS
    while end < len(query):
        ends.append(end)
        end += rng.choices((2, 3, 4))[0]
    typed = [query[:end].rstrip() for end in ends]
    return [text for n, text in enumerate(typed) if text != query and text not in typed[:n]]


def type_a_query(shop: Shop, rng: random.Random) -> Journey:
    """Prefixes, the whole query, and at times a fuller one."""
    query, before = shop.log.draw(rng), 0
    for prefix in prefixes(query, rng):
        after_s = (len(prefix) - before) * _KEYSTROKE_S
        yield shop.search(PREFIX, query=prefix, limit=_PREFIX_LIMIT, after_s=after_s if before else 0.0)
        before = len(prefix)
    yield shop.search(QUERY, query=query, limit=_PAGE, after_s=(len(query) - before) * _KEYSTROKE_S if before else 0.0)
    fuller = shop.log.refinement(query, rng) if rng.random() < _REFINING else None
    if fuller:
        yield shop.search(REFINED, query=fuller, limit=_PAGE, after_s=rng.uniform(*_READING_S))
