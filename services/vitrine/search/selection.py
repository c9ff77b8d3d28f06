"""Which of the neighbours make the page: those above the cuts, not given before, one of each group."""

from typing import Final, NamedTuple

from vitrine.domain import FieldValue
from vitrine.search.cursor import Cursors, Position
from vitrine.search.plan import Plan
from vitrine.vectorstore.neighbours import Neighbours
from vitrine.vectorstore.searcher import MAX_NEIGHBOURS

_MOST_ROWS: Final = 65_535  # what a cursor can hold


class Picked(NamedTuple):
    """A row that may stand on the page; tuples of them sort worst first.

    Args:
        group: value of its group; None when it stands for itself.
    """

    score: float
    id: str
    group: FieldValue | None
    found: Neighbours
    row: int

    @property
    def unit(self) -> str:
        """What is given once in a walk: the hit or its group."""
        return f"i{self.id}" if self.group is None else f"g{self.group}"


class Selection:
    """Takes in neighbours, in one round or several, until the page is full.

    Args:
        plan: whose page it is.
        cursors: to recognise what earlier pages gave.
    """

    def __init__(self, plan: Plan, cursors: Cursors) -> None:
        self.picked: list[Picked] = []
        self.values: set[FieldValue] = set()
        """Groups met so far, given before or not."""
        self.counted = 0
        """Rows of the first round above the cuts."""
        self.ended = False
        """Whether there is nothing behind what was taken in."""
        self.best = None if plan.position is None else plan.position.best
        self._plan = plan
        self._cursors = cursors
        self._alone: set[str] = set()
        self._repeated = False
        self._rounds = 0
        self._rows = 0

    @property
    def alone(self) -> int:
        """Rows met so far that stand for themselves."""
        return len(self._alone)

    @property
    def lacking(self) -> int:
        """Hits or groups that are still wanted; one more than the page holds tells whether there is a next."""
        plan = self._plan
        return plan.skipped + plan.limit + (1 if plan.paged else 0) - len(self.picked)

    @property
    def page(self) -> list[Picked]:
        """The page, best first."""
        return self.picked[self._plan.skipped : self._plan.skipped + self._plan.limit]

    @property
    def more(self) -> bool:
        """Whether something stands behind the page, or may stand there."""
        return self._overfull or (self._repeated and not self.ended and self._plan.rows < MAX_NEIGHBOURS)

    @property
    def _overfull(self) -> bool:
        return len(self.picked) > self._plan.skipped + self._plan.limit

    def take(self, found: Neighbours, asked: int) -> None:
        """Takes in the answer of one round in which `asked` rows were asked for."""
        if self.best is None and found.scores:
            self.best = found.scores[0]
        above = self._above(found.scores)
        self.ended = above < asked
        if self._rounds == 0:
            self.counted = above
        self._rounds += 1
        self._rows += len(found)
        self._pick(found, above)
        if self._rounds > 1:
            # A later round may find what an approximate index had missed.
            self.picked.sort(key=lambda picked: (-picked.score, picked.id))

    def position(self, digest: bytes) -> Position:
        """Where the walk of the request of that digest stands after the page."""
        plan, page = self._plan, self.page
        marks = frozenset(self._cursors.mark(digest, picked.unit) for picked in page)
        rows = page[-1].row + 1 if page and self._rounds == 1 and self._overfull else self._rows
        return Position(
            collection=plan.collection.name,
            build=self._cursors.build(plan.collection),
            request=digest,
            best=0.0 if self.best is None else self.best,
            rows=min(rows, _MOST_ROWS),
            seen=marks if plan.position is None else marks | plan.position.seen,
        )

    def _above(self, scores: list[float]) -> int:
        """How many of the scores, best first, pass both cuts."""
        request = self._plan.request
        floor = -2.0 if request.min_score is None else request.min_score
        if request.relative_cut is not None and self.best is not None and self.best > 0:
            floor = max(floor, request.relative_cut * self.best)
        if not scores or scores[-1] >= floor:
            return len(scores)
        return next(row for row, score in enumerate(scores) if score < floor)

    def _pick(self, found: Neighbours, above: int) -> None:
        grouping, position = self._plan.grouping, self._plan.position
        groups = None if grouping is None else found.stored(grouping.column)
        lacking = self.lacking
        for row in range(above):
            if lacking <= 0:
                break
            group = None if grouping is None or groups is None else grouping.value(groups[row])
            candidate = Picked(found.scores[row], found.ids[row], group, found, row)
            if group is not None:
                if group in self.values:
                    continue
                self.values.add(group)
            else:
                if candidate.id in self._alone:
                    # Milvus may show a product beside its older state for some seconds after it was killed.
                    self._repeated = self._repeated or grouping is None
                    continue
                self._alone.add(candidate.id)
            if position is None or self._cursors.mark(position.request, candidate.unit) not in position.seen:
                self.picked.append(candidate)
                lacking -= 1
