"""Recall of one answer, as far as a sample of the collection can tell.

All products known of a query, those of the answer and those that samples have shown, stand in one row, best first, by
their exact scores. Each of the answer takes one place in it. One that the answer misses takes as many places as it
stands for: 1 / the share of the collection that samples have shown. The first k places are the true k nearest, as near
as can be told, and of the sampled products on them the answer contains some. With all of the collection seen this is
recall@k itself; before, it is an estimate of it: docs/recall-canary.md says how good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

TIED: Final = 1e-5
"""Scores closer than this are the same: a product as near as the answer's is none that the answer misses."""
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one answer.

    Args:
        found: sampled products among the k nearest that the answer contains.
        missed: those that it does not contain.
    """

    found: int
    missed: tuple[str, ...]


def judge(answer: Mapping[str, float], seen: Mapping[str, float], share: float, k: int) -> Judgement:
    """Holds one answer against what samples have shown.

    Args:
        answer: exact score by id, of each hit.
        seen: exact score by id, of the sampled products nearest to the query.
        share: of the collection that samples have shown, more than 0 and at most 1.
        k: hits asked for.
    """
    row = [(-score, item_id, True) for item_id, score in answer.items()]
    row += [(-score + TIED, item_id, False) for item_id, score in seen.items() if item_id not in answer]
    return _walk(sorted(row), seen, share, k)


def _walk(row: Sequence[tuple[float, str, bool]], seen: Mapping[str, float], share: float, k: int) -> Judgement:
    taken, found = 0.0, 0
    missed: list[str] = []
    for _, item_id, answered in row:
        if taken >= k - _ROUNDING:
            break
        if answered:
            taken += 1.0
            found += item_id in seen
        else:
            taken += 1.0 / share
            missed.append(item_id)
    return Judgement(found, tuple(missed))
