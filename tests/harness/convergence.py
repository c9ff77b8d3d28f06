"""What a harness run found: figures for people and for machines."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.harness.chaos import VICTIMS, Kill
from tests.harness.index_run import KILLED, EndedRun, MemorySample
from tests.harness.planted import Account

_MIB = 1024 * 1024
_SHOWN_SAMPLES = 60


@dataclass(frozen=True)
class Convergence:
    """A catalogue, indexed.

    Args:
        account: what had to come out.
        kills: in their order.
        runs: up to the one that ended well, which is the last.
        again: the run after them, which had nothing to do.
        seconds: from the first run's start to the last one's end.
        differences: what came out otherwise; empty when nothing did.
        sample: products whose vector and title were compared.
    """

    account: Account
    kills: tuple[Kill, ...]
    runs: tuple[EndedRun, ...]
    again: EndedRun
    seconds: float
    differences: tuple[str, ...]
    sample: int

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        last = self.runs[-1]
        return {
            "converged": not self.differences,
            "differences": list(self.differences),
            "rows": self.account.read,
            "written": len(self.account.written),
            "rejected_by_reason": self.account.by_code,
            "blank_lines": self.account.blank_lines,
            "planted": dict(self.account.planted),
            "products_compared": min(self.sample, len(self.account.written)),
            "seconds": round(self.seconds, 1),
            "kills": [asdict(kill) for kill in self.kills],
            "kills_by_victim": self._by_victim(),
            "runs": [_run_as_json(run) for run in self.runs],
            "last_run": {"products_per_s": last.summary["products_per_s"], "stages": last.summary["stages"]},
            "again": {name: self.again.summary[name] for name in ("written", "unchanged", "rejected", "elapsed_s")},
            "memory": memory_figures(last.memory) | {"samples": _thinned(last.memory)},
        }

    def print(self) -> None:
        """One table, then every difference."""
        console = Console()
        table = Table("planted catalogue", "count")
        table.columns[1].justify = "right"
        for name, value in self._rows():
            table.add_row(name, value)
        console.print(table)
        for difference in self.differences:
            console.print(difference, style="red", highlight=False, soft_wrap=True)
        console.print("It differs." if self.differences else "Exactly what was planted.", style="bold")

    def _rows(self) -> list[tuple[str, str]]:
        last, memory = self.runs[-1], memory_figures(self.runs[-1].memory)
        outcomes = Counter(
            "killed" if run.status == KILLED else run.code or ("ended well" if run.status == 0 else str(run.status))
            for run in self.runs
        )
        return [
            ("records", str(self.account.read)),
            ("written", str(len(self.account.written))),
            ("rejected", str(len(self.account.rejected))),
            *((f"  {code}", str(count)) for code, count in self.account.by_code.items()),
            ("blank lines", str(self.account.blank_lines)),
            *((f"kills of {victim}", str(count)) for victim, count in self._by_victim().items()),
            *((f"runs: {outcome}", str(count)) for outcome, count in sorted(outcomes.items())),
            ("seconds until the last run ended well", f"{self.seconds:.1f}"),
            ("last run: products/s", str(last.summary["products_per_s"])),
            ("second run: written", str(self.again.summary["written"])),
            ("second run: seconds", f"{self.again.seconds:.1f}"),
            ("last run: MiB in the quarters of its time", ", ".join(map(str, memory["quarters_mib"]))),
            ("last run: MiB gained after its second quarter", str(memory["growth_mib"])),
            ("last run: MiB at most", str(memory["most_mib"])),
        ]

    def _by_victim(self) -> dict[str, int]:
        counted = Counter(kill.victim for kill in self.kills)
        return {victim: counted[victim] for victim in VICTIMS}


def _run_as_json(run: EndedRun) -> dict[str, Any]:
    return {
        "status": run.status,
        "error": run.code,
        "seconds": round(run.seconds, 1),
        "products_gained": run.gained,
        "products_per_s": round(run.gained / run.seconds, 1) if run.seconds else 0.0,
    }


def memory_figures(samples: Sequence[MemorySample]) -> dict[str, Any]:
    """Resident memory of the indexer in MiB: the median of each quarter of its time, by how much the last one is over
    the second (the first fills the queues), and the most."""
    quarters = [_median_mib(samples[len(samples) * part // 4 : len(samples) * (part + 1) // 4]) for part in range(4)]
    return {
        "quarters_mib": quarters,
        "growth_mib": round(quarters[3] - quarters[1], 1),
        "most_mib": round(max((sample.bytes for sample in samples), default=0) / _MIB, 1),
    }


def _median_mib(samples: Sequence[MemorySample]) -> float:
    ordered = sorted(sample.bytes for sample in samples)
    return round(ordered[len(ordered) // 2] / _MIB, 1) if ordered else 0.0


def _thinned(samples: Sequence[MemorySample]) -> list[list[float]]:
    """At most so many pairs of seconds and MiB."""
    step = max(1, len(samples) // _SHOWN_SAMPLES)
    return [[round(sample.seconds, 1), round(sample.bytes / _MIB, 1)] for sample in samples[::step]]
