"""What a run found, as it is written to JSON and read by the verdicts, the tables and the plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from loadtest.bench.serving.cost_model import ClusterNeed, Costs, Step
from loadtest.bench.serving.growth import Growth
from loadtest.bench.serving.in_turns import Calls
from loadtest.bench.serving.overload import Overload
from loadtest.bench.serving.processes import MACHINE, Memory
from loadtest.bench.serving.recall import Found
from loadtest.bench.serving.under_load import Slice


@dataclass(frozen=True)
class Percentiles:
    """Of latencies, in milliseconds."""

    p50: float
    p95: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float] | npt.NDArray[np.float64]) -> "Percentiles":
        return cls(*(float(value) * 1000 for value in np.percentile(seconds, (50, 95, 99))))


@dataclass(frozen=True)
class Single:
    """One system, a call at a time, in turns with the others.

    Args:
        recall: mean recall@10 of these very answers, against exact search for the vector that the system's own model
            gives the text; None where there are no hits.
        recall_of_fp32: against exact search for the fp32 model's vector, so that what reduced precision changes counts.
    """

    system: str
    calls: int
    ms: Percentiles
    recall: float | None
    recall_of_fp32: float | None


@dataclass(frozen=True)
class Loaded:
    """One system with so many callers at once.

    Args:
        per_s: median over the slices, which are beside it.
        cpu_ms: processor time of an answer, by process; `machine` is all that the cores did meanwhile.
    """

    system: str
    callers: int
    per_s: float
    per_s_of_slices: tuple[float, ...]
    calls: int
    ms: Percentiles
    cpu_ms: Mapping[str, float]


@dataclass
class Figures:
    """All of a run.

    Args:
        machine: what it ran on.
        size: its parameters.
        ef: HNSW's search setting in all of it.
        recall: recall@10 at that setting by collection and kind of text.
        agreement: of the int8 text model with the fp32 one: mean cosine, and top-10 overlap of exact search.
        idle_cores: busy without load, by process.
        milvus_memory_mb: anonymous memory that Milvus took more for each collection, by name, `idle` before any.
        memory: of every process, after all the load.
        other_cores: kept busy under load by what is no process of the bench.
        hit_share: of the queries of the log that the cache answered, by system.
    """

    machine: Mapping[str, str]
    size: Mapping[str, object]
    ef: int
    recall: Mapping[str, Mapping[str, Found]]
    agreement: Mapping[str, float]
    idle_cores: Mapping[str, float]
    milvus_memory_mb: Mapping[str, float]
    single: list[Single] = field(default_factory=list)
    recipe_ms: dict[str, float] = field(default_factory=dict)
    loaded: list[Loaded] = field(default_factory=list)
    memory: Mapping[str, Memory] = field(default_factory=dict)
    other_cores: float = 0.0
    hit_share: dict[str, float] = field(default_factory=dict)
    costs: list[Costs] = field(default_factory=list)
    steps: dict[str, Sequence[Step]] = field(default_factory=dict)
    needs: dict[str, Sequence[ClusterNeed]] = field(default_factory=dict)
    overload: Overload | None = None
    growth: Growth | None = None

    def single_of(self, system: str) -> Single:
        """Raises KeyError: it was not measured."""
        return next((one for one in self.single if one.system == system), None) or _missing(system)

    def loaded_of(self, system: str) -> list[Loaded]:
        """By rising number of callers."""
        return sorted((one for one in self.loaded if one.system == system), key=lambda one: one.callers)


def _missing(system: str) -> Single:
    raise KeyError(f"{system} was not measured in turns")


def single_of(system: str, calls: Calls, recall: float | None, recall_of_fp32: float | None) -> Single:
    """The figures of calls in turns."""
    return Single(system, len(calls.seconds), Percentiles.of(calls.seconds), recall, recall_of_fp32)


def loaded_of(system: str, slices: Sequence[Slice]) -> list[Loaded]:
    """The figures of a system's slices, by number of callers: latencies pooled, rates as medians."""
    found = []
    for callers in sorted({one.callers for one in slices}):
        own = [one for one in slices if one.callers == callers]
        latencies = np.concatenate([one.latencies_s for one in own])
        cpu_ms = {
            name: sum(one.spent.cpu_s[name] for one in own) / len(latencies) * 1000 for name in own[0].spent.cpu_s
        }
        rates = tuple(one.per_s for one in own)
        found.append(
            Loaded(system, callers, float(np.median(rates)), rates, len(latencies), Percentiles.of(latencies), cpu_ms)
        )
    return found


def other_cores(slices: Sequence[Slice]) -> float:
    """Cores that were busy during slices for none of the processes that are counted."""
    elapsed = sum(one.spent.elapsed_s for one in slices)
    other = sum(2 * one.spent.cpu_s[MACHINE] - sum(one.spent.cpu_s.values()) for one in slices)
    return other / elapsed
