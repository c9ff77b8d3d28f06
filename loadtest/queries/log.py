"""A log of queries with the popularity that a shop's queries have: few are asked again and again, most are rare."""

import bisect
import itertools
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.queries.grammar import draw_query

LOG_FILE: Final = Path(__file__).with_name("log.txt")
"""One query a line, the most popular first; written by `python -m loadtest.queries --write`."""
SIZE: Final = 8_000
EXPONENT: Final = 0.85
_SEED: Final = 2026
_DRAWS: Final = 25_000


def make_queries(size: int = SIZE, *, draws: int = _DRAWS, seed: int = _SEED) -> list[str]:
    """Different queries of the grammar, ordered by how often they came in `draws` draws; equal arguments, equal lists.

    Raises ValueError: the draws did not bring so many different ones.
    """
    rng = random.Random(seed)
    counts = Counter(draw_query(rng) for _ in range(draws))
    if len(counts) < size:
        raise ValueError(f"{draws} draws gave {len(counts)} different queries, not {size}")
    return [query for query, _ in counts.most_common(size)]


def read_queries(path: Path = LOG_FILE) -> list[str]:
    """The queries of a log file in the order of their popularity.

    Raises ValueError: the file holds an empty line, the same query twice, or nothing.
    """
    queries = path.read_text(encoding="utf-8").splitlines()
    if not queries or not all(query.strip() for query in queries) or len(set(queries)) != len(queries):
        raise ValueError(f"{path} is no log of queries: each line must hold one, and none may come twice")
    return queries


class QueryLog:
    """Draws queries by Zipf's law: the n-th most popular one has the weight 1 / n ** exponent.

    Args:
        queries: different ones, the most popular first.
        exponent: 0 makes all equally popular.
    """

    def __init__(self, queries: Sequence[str], exponent: float = EXPONENT) -> None:
        self.queries = tuple(queries)
        weights = (place**-exponent for place in range(1, len(self.queries) + 1))
        self._cumulated = list(itertools.accumulate(weights))
        self._with_word: dict[str, list[int]] = {}
        for number, query in enumerate(self.queries):
            for word in set(query.lower().split()):
                self._with_word.setdefault(word, []).append(number)

    def draw(self, rng: random.Random) -> str:
        """One query; popular ones come often."""
        return self.queries[bisect.bisect(self._cumulated, rng.random() * self._cumulated[-1])]

    def share(self, most_popular: int) -> float:
        """Of all draws, the share that the so many most popular queries get."""
        return float(self._cumulated[most_popular - 1] / self._cumulated[-1])

    def refinement(self, query: str, rng: random.Random) -> str | None:
        """A query that says all of this one and more, as of somebody who found too much; None where there is none."""
        words = set(query.lower().split())
        rarest = min((self._with_word.get(word, []) for word in words), key=len)
        fuller = [n for n in rarest if words < set(self.queries[n].lower().split())]
        return self.queries[rng.choices(fuller)[0]] if fuller else None
