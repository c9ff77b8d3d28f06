"""What the ledgers know of a collection, what Milvus holds of it, and what to do where the two differ."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from vitrine.indexer.ledger_view import Holdings, RunRecord
from vitrine.indexer.shards.report import MergedReport
from vitrine.vectorstore.collection import CollectionInfo


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """One ledger; `problem` instead of figures where it cannot be used for this collection."""

    path: str
    held: bool = False
    holdings: Holdings | None = None
    runs: Sequence[RunRecord] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ids in Milvus against ids in the ledgers, one by one.

    Args:
        missing: in the ledgers, not in Milvus.
        unknown: in Milvus, not in the ledgers.
        doubled: rows beyond the first of their id.
        examples: the first ids of `missing` and `unknown`.
    """

    missing: int
    unknown: int
    doubled: int
    examples: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it should be, and the command that mends it; empty where waiting does."""

    code: str
    message: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class CollectionStatus:
    """One collection.

    Args:
        rows: counted with strong consistency; None while it is not loaded.
        indexed: rows that the index covers.
        live: the alias points at it.
    """

    alias: str
    info: CollectionInfo
    live: bool
    rows: int | None
    indexed: int
    ledgers: Sequence[LedgerStatus]
    shards: MergedReport | None = None
    comparison: Comparison | None = None
    differences: Sequence[Difference] = ()

    @property
    def expected(self) -> int:
        """Products that Milvus should hold, by all ledgers."""
        return sum(one.holdings.in_collection for one in self.ledgers if one.holdings is not None)

    def added_up(self, part: str) -> dict[str, int]:
        """`stale` or `rejected` of all ledgers, by reason."""
        total: dict[str, int] = {}
        for one in self.ledgers:
            for reason, count in ({} if one.holdings is None else getattr(one.holdings, part)).items():
                total[reason] = total.get(reason, 0) + count
        return total

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only."""
        return {
            "alias": self.alias,
            "collection": self.info.name,
            "live": self.live,
            "model": self.info.model,
            "fingerprint": self.info.fingerprint,
            "index": self.info.index.index_type,
            "loaded": self.info.loaded,
            "in_collection": self.rows,
            "indexed": self.indexed,
            "expected": self.expected,
            "stale": self.added_up("stale"),
            "rejected": self.added_up("rejected"),
            "ledgers": [asdict(one) for one in self.ledgers],
            "shards": None if self.shards is None else self.shards.as_json(),
            "comparison": None if self.comparison is None else asdict(self.comparison),
            "differences": [asdict(one) for one in self.differences],
        }
