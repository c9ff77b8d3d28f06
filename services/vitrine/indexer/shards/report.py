"""What each shard of a round says about itself, in a JSON file beside its ledger, and whether all of it adds up."""

import hashlib
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vitrine.errors import InvalidInput
from vitrine.indexer.report import Summary
from vitrine.indexer.shards.sharding import Shard
from vitrine.vectorstore.collection import CollectionInfo

REPORT_VERSION = 1
_BLOCK = 1024 * 1024
_COUNTS = ("read", "written", "unchanged", "rejected", "elsewhere", "dropped", "deleted")


class ShardReportInvalid(InvalidInput):
    """A file that is no shard's report, or of another version."""

    code = "shard_report_invalid"


@dataclass(frozen=True, slots=True)
class ShardReport:
    """One shard's latest run.

    Args:
        shard: such as "2/4".
        round: the same for all shards that read one source into one collection; see `round_id`.
        alias: what readers call the collection.
        collection: the collection's own name.
        build_id: of the collection.
        host: the machine, or pod, that it ran on.
        began: seconds since 1970.
        ended: None while it goes on, and when it was killed.
        how: "done", a signal's name, or an error's code; empty while it goes on.
        message: the error's sentence.
        complete: it read the source to its end.
        candidate: the collection is built beside the live one; nobody points the alias at it but `vitrine promote`.
        expected: products that the collection should hold of this shard, by its ledger.
        stale: those among them that are rejected now.
        counts: read, written, unchanged, rejected, elsewhere, dropped, deleted.
        rejected_by_reason: how many of each code.
        rejects_file: where they are listed.
    """

    shard: str
    round: str
    alias: str
    collection: str
    build_id: str
    host: str
    began: float
    candidate: bool = False
    ended: float | None = None
    how: str = ""
    message: str = ""
    complete: bool = False
    expected: int = 0
    stale: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    rejected_by_reason: Mapping[str, int] = field(default_factory=dict)
    rejects_file: str = ""

    @property
    def done(self) -> bool:
        """Whether the shard came to its end, and to the source's."""
        return self.how == "done" and self.complete

    @property
    def state(self) -> str:
        """In words."""
        if self.ended is None:
            return "running or killed"
        return "done" if self.done else f"failed: {self.how}" if self.how != "done" else "did not read to the end"

    def after(self, summary: Summary, *, complete: bool) -> "ShardReport":
        """The report of a run that is over."""
        counts = summary.counts()
        return replace(
            self,
            ended=time.time(),
            how=summary.how,
            message="" if summary.failure is None else summary.failure.message,
            complete=complete,
            expected=summary.expected or 0,
            stale=summary.stale,
            counts={name: int(str(counts[name])) for name in _COUNTS},
            rejected_by_reason=dict(sorted(summary.tally.rejected.items())),
            rejects_file=summary.rejects_file,
        )

    def write(self, path: Path) -> None:
        """Replaces the shard's file in one step."""
        unfinished = path.with_name(f".{path.name}.unfinished")
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump({"version": REPORT_VERSION, **asdict(self)}, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)

    @classmethod
    def read(cls, path: Path) -> "ShardReport | None":
        """The report in a file; None when there is none.

        Raises:
            ShardReportInvalid: something else is in it.
        """
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("version") != REPORT_VERSION:
                raise ShardReportInvalid(f"{path} is a shard's report of another version.")
            return cls(**content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ShardReportInvalid(f"{path} is no shard's report: {error}") from error


def new_report(shard: Shard, round_name: str, alias: str, info: CollectionInfo, *, candidate: bool) -> ShardReport:
    """The report of a run that begins now, into the collection that `info` describes."""
    host, now = socket.gethostname(), time.time()
    return ShardReport(str(shard), round_name, alias, info.name, info.build_id, host, now, candidate)


def round_id(source: Path, *, mapping_digest: str, fingerprint: str, shards: int) -> str:
    """Names what the shards of one round have in common: the source's content, its mapping, the model, their number.

    Pictures are not part of it: a round that shall pick up changed pictures under the same rows is given a name.

    Args:
        source: the catalogue's file, or a folder of kept embeddings, whose parts never change.
    """
    digest = hashlib.sha256(f"{mapping_digest}\n{fingerprint}\n{shards}\n".encode())
    if source.is_dir():
        for part in sorted(source.rglob("part-*.parquet")):
            digest.update(f"{part.relative_to(source)} {part.stat().st_size}\n".encode())
    else:
        with source.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class MergedReport:
    """All shards of a collection together.

    Args:
        alias: what readers call it.
        shards: how many there should be.
        reports: in the order of their numbers; None where a shard left no report.
    """

    alias: str
    shards: int
    reports: Sequence[ShardReport | None]

    def problems(self, round_name: str = "") -> list[str]:
        """Why the round is not over, one sentence each; empty when it is.

        Args:
            round_name: the round that is meant; empty: whichever the shards agree on.
        """
        found: list[str] = []
        newest = max((one for one in self.reports if one is not None), key=lambda one: one.began, default=None)
        wanted = round_name or ("" if newest is None else newest.round)
        for number, report in enumerate(self.reports, start=1):
            name = f"Shard {number}/{self.shards}"
            if report is None:
                found.append(f"{name} left no report.")
            elif report.round != wanted:
                found.append(f"{name} is of round {report.round}, not of {wanted}.")
            elif not report.done:
                found.append(f"{name} {report.state}{f' ({report.message})' if report.message else ''}.")
        return found or self._disagreements()

    def _disagreements(self) -> list[str]:
        there = [report for report in self.reports if report is not None]
        found: list[str] = []
        if len({(one.collection, one.build_id) for one in there}) > 1:
            found.append("The shards filled different collections.")
        read = {one.counts["read"] for one in there}
        if len(read) > 1:
            found.append(f"The shards read different numbers of records: {sorted(read)}. Was the file replaced?")
        own = sum(one.counts["read"] - one.counts["elsewhere"] for one in there)
        if len(read) == 1 and own != next(iter(read)):
            found.append(f"{next(iter(read))} records were read, but the shards answer for {own}.")
        return found

    def total(self) -> dict[str, int]:
        """Figures of all shards added up; `read` counts each record of the source once."""
        there = [report for report in self.reports if report is not None]
        total: Counter[str] = Counter()
        for report in there:
            total.update(report.counts)
        total["read"] -= total["elsewhere"]
        figures = {name: total[name] for name in _COUNTS if name != "elsewhere"}
        return figures | {"expected": sum(one.expected for one in there), "stale": sum(one.stale for one in there)}

    def rejected_by_reason(self) -> dict[str, int]:
        """Rejections of all shards."""
        total: Counter[str] = Counter()
        for report in self.reports:
            total.update({} if report is None else report.rejected_by_reason)
        return dict(sorted(total.items()))

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only."""
        return {
            "alias": self.alias,
            "shards": [None if report is None else asdict(report) for report in self.reports],
            "total": self.total(),
            "rejected_by_reason": self.rejected_by_reason(),
            "problems": self.problems(),
        }
