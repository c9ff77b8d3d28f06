"""Who asks next. Every arrival gets a scenario by its share, and then a visitor: one who goes on, or a new one.

The number of requests is the schedule's, whatever visitors do; that a visitor's requests stand in their order, some
seconds apart, is seen to here.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from loadtest.scenarios import browsing, picturing, type_ahead, writing
from loadtest.scenarios.journey import Ask, Content, Journey, Shop

SHARES: Final[Mapping[str, float]] = {"typing": 0.60, "browsing": 0.24, "picturing": 0.10, "writing": 0.06}
"""Of the requests, by scenario. Where nothing may be written, the others share that part."""
ENDPOINTS: Final = (
    *(type_ahead.PREFIX, type_ahead.QUERY, type_ahead.REFINED),
    *(browsing.FACETS, browsing.FILTER, browsing.NEXT_PAGE, browsing.GROUPS, browsing.SIMILAR),
    *(picturing.PICTURE, picturing.PICTURE_AND_TEXT),
    *(writing.PUT, writing.DELETE),
)
MOST_VISITORS: Final = 2_048
"""Of a scenario, between two requests; when one more waits, the one who waits longest leaves."""


@dataclass(slots=True)
class Visitor:
    """Somebody on a journey, and what they ask now."""

    scenario: str
    journey: Journey
    ask: Ask


class Floor:
    """The visitors of one process.

    Args:
        shop: what they ask for.
        rng: draws everything that they do.
        ids: of the items that they write.
    """

    def __init__(self, shop: Shop, rng: random.Random, ids: Iterator[str]) -> None:
        self._rng = rng
        self._begin: dict[str, Callable[[], Journey]] = {
            "typing": lambda: type_ahead.type_a_query(shop, rng),
            "browsing": lambda: browsing.look_around(shop, rng),
            "picturing": lambda: picturing.search_by_picture(shop, rng),
        }
        if shop.scratch is not None:
            self._begin["writing"] = lambda: writing.keep_an_item(shop, rng, ids)
        self._weights = [SHARES[scenario] for scenario in self._begin]
        self._between: dict[str, list[tuple[float, int, Visitor]]] = {scenario: [] for scenario in self._begin}
        self._numbers = itertools.count()

    def next(self, now_s: float) -> Visitor:
        """Who asks at this second: of the scenario drawn, who should have gone on longest ago, else somebody new."""
        scenario = self._rng.choices(list(self._begin), self._weights)[0]
        between = self._between[scenario]
        if between and between[0][0] <= now_s:
            return heapq.heappop(between)[2]
        journey = self._begin[scenario]()
        return Visitor(scenario, journey, next(journey))

    def answered(self, visitor: Visitor, content: Content, now_s: float) -> None:
        """A visitor got what they asked for, and goes on in a while or has done."""
        try:
            visitor.ask = visitor.journey.send(content)
        except StopIteration:
            return
        between = self._between[visitor.scenario]
        if len(between) >= MOST_VISITORS:
            heapq.heappop(between)
        heapq.heappush(between, (now_s + visitor.ask.after_s, next(self._numbers), visitor))
