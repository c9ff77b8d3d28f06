"""Where a collection comes from: which alias it is for, when it was filled and brought up to date, what it replaced.

Kept as one JSON text in the collection's properties, so that it is where the collection is and goes when it goes. The
alias alone decides which collection is live; a lineage is written before the alias moves, so that a process killed
between the two leaves a record of something that was about to happen, never a move without a record.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

PROPERTY_LINEAGE = "vitrine_lineage"


@dataclass(frozen=True, slots=True)
class GateRecord:
    """What one gate said of a promotion.

    Args:
        name: of the gate.
        passed: None where there was nothing to compare.
        measured: for people.
        limit: for people.
    """

    name: str
    passed: bool | None
    measured: str
    limit: str


@dataclass(frozen=True, slots=True)
class Lineage:
    """Of one collection. Times are in UTC, names are collections' own.

    Args:
        alias: it was built for; empty in collections made before lineages were kept.
        finished_at: a run filled it to the end, with all of it indexed and counted; None: no run said so.
        rows: counted then.
        promoted_at: when the alias was last about to be moved here.
        replaces: what the alias pointed at when this collection was promoted: where a rollback goes.
        moved_from: what the alias pointed at before it last came here, be it by a promotion or a rollback: where
            gateways go on that still have the model of that one.
        gates: of the last promotion.
        forced: it went ahead although gates had failed.
        rolled_back_at: when the alias was moved away from here by a rollback; None after the next promotion.
        indexed_at: when a run last came to the end of its source with the collection completely up to date; None: no
            run said so. Runs that were interrupted, limited or failed, and one shard alone, leave it as it is.
    """

    alias: str = ""
    finished_at: datetime | None = None
    rows: int = 0
    promoted_at: datetime | None = None
    replaces: str = ""
    moved_from: str = ""
    gates: tuple[GateRecord, ...] = ()
    forced: bool = False
    rolled_back_at: datetime | None = None
    indexed_at: datetime | None = None

    def as_text(self) -> str:
        """For the property."""
        return json.dumps(asdict(self), default=datetime.isoformat, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "Lineage":
        """What `as_text` wrote. Other texts are no lineage: they must not keep a collection from being searched."""
        try:
            told: dict[str, Any] = json.loads(text)
            return cls(
                alias=str(told.get("alias", "")),
                finished_at=_moment(told.get("finished_at")),
                rows=int(told.get("rows", 0)),
                promoted_at=_moment(told.get("promoted_at")),
                replaces=str(told.get("replaces", "")),
                moved_from=str(told.get("moved_from", "")),
                gates=tuple(_gate(gate) for gate in told.get("gates", ())),
                forced=bool(told.get("forced", False)),
                rolled_back_at=_moment(told.get("rolled_back_at")),
                indexed_at=_moment(told.get("indexed_at")),
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()


NO_LINEAGE = Lineage()
"""Of a collection that nobody has told one."""


def now() -> datetime:
    """The time as lineages keep it: UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _gate(told: dict[str, Any]) -> GateRecord:
    passed = told["passed"]
    return GateRecord(str(told["name"]), passed if passed is None else bool(passed), told["measured"], told["limit"])
