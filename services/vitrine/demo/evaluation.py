"""Scores of answers whose truth is known: precision among the first ten, by kind of query."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import get_args

from vitrine.demo.queries import DEPTH, IMAGE_KIND, ComposedKind, Query

_COMPOSED = frozenset(get_args(ComposedKind))
_ROUNDING = 1e-9  # the mean of ten 0.7 is a little less than 0.7


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back for a query: ids, best first, and how long the caller waited, in milliseconds.

    `alone` is what came back for the first part of a composed query by itself.
    """

    query: Query
    ids: tuple[str, ...]
    took_ms: float = 0.0
    alone: tuple[str, ...] | None = None

    @property
    def precision(self) -> float:
        return precision_at(self.ids, self.query.relevant)

    @property
    def precision_alone(self) -> float | None:
        """How many of the composed query's right answers its first part finds by itself."""
        return None if self.alone is None else precision_at(self.alone, self.query.relevant)


@dataclass(frozen=True, slots=True)
class Row:
    """Outcomes of one kind: how many, their mean precision, how many were flawless, and the worst of them.

    `alone` is the mean precision of the first parts by themselves, where there are others.
    """

    kind: str
    queries: int
    precision: float
    flawless: int
    worst: Outcome
    alone: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All rows, and the means over text and over image queries of one part; None where there was no such query."""

    rows: tuple[Row, ...]
    text: float | None
    image: float | None

    def meets(self, threshold: float, composed: float) -> bool:
        """Whether both means reach `threshold`, and every composed kind `composed`."""
        bounds = [(mean, threshold) for mean in (self.text, self.image) if mean is not None]
        bounds += [(row.precision, composed) for row in self.rows if row.kind in _COMPOSED]
        return all(mean >= bound - _ROUNDING for mean, bound in bounds)

    def as_json(self) -> Mapping[str, object]:
        """For machines: plain numbers and strings."""
        return {
            "depth": DEPTH,
            "text": self.text,
            "image": self.image,
            "kinds": [
                {
                    "kind": row.kind,
                    "queries": row.queries,
                    "precision": row.precision,
                    "alone": row.alone,
                    "flawless": row.flawless,
                    "worst": {"query": name_of(row.worst.query), "precision": row.worst.precision},
                }
                for row in self.rows
            ],
        }


def precision_at(ids: Sequence[str], relevant: AbstractSet[str], depth: int = DEPTH) -> float:
    """The share of right answers among the first `depth`; a missing answer counts as a wrong one.

    Raises ValueError when an id occurs twice among them: a product shown twice must not count twice.
    """
    first = ids[:depth]
    if len(set(first)) != len(first):
        raise ValueError(f"an answer repeats a product: {list(first)}")
    return sum(1 for found in first if found in relevant) / depth


def summarise(outcomes: Iterable[Outcome]) -> Report:
    """Groups outcomes by kind, in the order in which kinds first occur."""
    by_kind: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_kind.setdefault(outcome.query.kind, []).append(outcome)
    other = {IMAGE_KIND, *_COMPOSED}
    text = [outcome.precision for kind, group in by_kind.items() if kind not in other for outcome in group]
    image = [outcome.precision for outcome in by_kind.get(IMAGE_KIND, [])]
    return Report(
        rows=tuple(_row(kind, group) for kind, group in by_kind.items()),
        text=statistics.fmean(text) if text else None,
        image=statistics.fmean(image) if image else None,
    )


def name_of(query: Query) -> str:
    """What a person would call a query in a table."""
    drawing, addition = query.drawing, query.addition
    name = f"picture of a {drawing.colour} {drawing.pattern} {drawing.garment}" if drawing else query.text
    if addition is None:
        return name
    return f"{name} {'minus' if addition.weight < 0 else 'plus'} {addition.text}"


def _row(kind: str, outcomes: Sequence[Outcome]) -> Row:
    precisions = [outcome.precision for outcome in outcomes]
    alone = [outcome.precision_alone for outcome in outcomes if outcome.precision_alone is not None]
    return Row(
        kind=kind,
        queries=len(outcomes),
        precision=statistics.fmean(precisions),
        flawless=sum(1 for precision in precisions if precision == 1),
        worst=min(outcomes, key=lambda outcome: outcome.precision),
        alone=statistics.fmean(alone) if alone else None,
    )
