"""What a candidate must show before an alias is moved to it. Measuring is done elsewhere; here it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass

from vitrine.domain import FieldSpec
from vitrine.errors import InvalidInput, VitrineError
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.lineage import GateRecord

DEPTH = 10
"""Hits that recall and overlap look at."""


class GateFailed(VitrineError):
    """The candidate is not what readers should see; nothing was moved."""

    code = "gate_failed"


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What the gates ask for.

    Args:
        min_rows: rows of the candidate over those of the live collection.
        min_indexed: indexed rows of the candidate over all of its rows.
        min_recall: recall@10 against exact search; 0: not measured, which spares reading every vector.
        min_overlap: share of the live collection's ten best hits that the candidate gives too, if one model made both.
        max_p99_ms: milliseconds of the candidate's p99 that are good enough in any case.
        max_p99_factor: else how many times the live collection's p99 it may be.
    """

    min_rows: float = 0.95
    min_indexed: float = 1.0
    min_recall: float = 0.9
    min_overlap: float = 0.5
    max_p99_ms: float = 50.0
    max_p99_factor: float = 2.0

    def check(self) -> None:
        """Raises InvalidInput: a limit that nothing could meet, or none at all."""
        for name in ("min_indexed", "min_recall", "min_overlap"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise InvalidInput(f"--{name.replace('_', '-')} is a share from 0 to 1.")
        for name in ("min_rows", "max_p99_ms", "max_p99_factor"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise InvalidInput(f"--{name.replace('_', '-')} is a number from 0 up.")


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model that gateways embed queries with.

    Args:
        name: for people.
        fingerprint: of the model repository in the settings.
        triton: why Triton does not count as serving it; None: it does.
        reached: whether Triton answered at all.
    """

    name: str
    fingerprint: str
    triton: str | None
    reached: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What was counted of the candidate and the live collection.

    Args:
        candidate: what is to become live.
        rows: of the candidate, counted with strong consistency.
        indexed: rows in its index; or why there is none.
        live: what the alias points at; None: nothing yet.
        live_rows: as `rows`.
    """

    candidate: CollectionInfo
    rows: int
    indexed: int | str
    live: CollectionInfo | None
    live_rows: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What searches showed; None where they could not be made or compared, and `why` says the reason.

    Args:
        queries: how many of what kind, for people.
        recall: mean recall@10 of the candidate.
        overlap: mean share of the live collection's ten best hits.
        p99_ms: of the candidate's searches.
        live_p99_ms: of the live collection's.
    """

    queries: str = ""
    recall: float | None = None
    overlap: float | None = None
    p99_ms: float | None = None
    live_p99_ms: float | None = None
    why: str = ""


def judge(standing: Standing, served: ServedModel, measured: Measured, limits: GateLimits) -> tuple[GateRecord, ...]:
    """Every gate's word, in the order in which a person would ask."""
    return (
        _finished(standing.candidate),
        _model(standing.candidate, served),
        _fields(standing.candidate, standing.live),
        _rows(standing, limits),
        _index(standing, limits),
        _recall(measured, limits),
        _overlap(standing, measured, limits),
        _latency(measured, limits),
    )


def failed(gates: Sequence[GateRecord]) -> list[GateRecord]:
    """Those that say no."""
    return [gate for gate in gates if gate.passed is False]


def _finished(candidate: CollectionInfo) -> GateRecord:
    at = candidate.lineage.finished_at
    passed = candidate.complete and at is not None
    told = "no run filled it to its end" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return GateRecord("finished", passed, told if candidate.complete else "half-made", "filled to its end")


def _model(candidate: CollectionInfo, served: ServedModel) -> GateRecord:
    measured = f"{candidate.model} {candidate.fingerprint[:12]}"
    limit = f"{served.name} {served.fingerprint[:12]}"
    if candidate.fingerprint != served.fingerprint:
        return GateRecord("model", False, measured, limit)
    if served.triton is not None and served.reached:
        return GateRecord("model", False, f"{measured}; {served.triton}", limit)
    return GateRecord("model", True, measured + ("" if served.reached else "; Triton was not reached"), limit)


def _fields(candidate: CollectionInfo, live: CollectionInfo | None) -> GateRecord:
    limit = "none that can be filtered or counted is lost"
    if live is None:
        return GateRecord("fields", True, f"{len(candidate.fields)} fields", limit)
    lost = _lost(live.fields, candidate.fields)
    return GateRecord("fields", not lost, f"lost: {', '.join(lost)}" if lost else "none lost", limit)


def _lost(before: Sequence[FieldSpec], after: Sequence[FieldSpec]) -> list[str]:
    """Uses of fields that requests may make of the live collection and could not make of the candidate."""
    there = {field.name: field for field in after}
    lost: list[str] = []
    for field in before:
        new = there.get(field.name)
        if new is None and (field.filterable or field.facetable):
            lost.append(field.name)
        elif new is not None and new.type is not field.type:
            lost.append(f"{field.name} as {field.type}")
        elif new is not None:
            lost += [f"{field.name} in filters"] if field.filterable and not new.filterable else []
            lost += [f"{field.name} in facets"] if field.facetable and not new.facetable else []
    return lost


def _rows(standing: Standing, limits: GateLimits) -> GateRecord:
    if standing.live is None:
        return GateRecord("rows", standing.rows > 0, f"{standing.rows}", "at least 1")
    least = limits.min_rows * standing.live_rows
    passed = standing.rows > 0 and standing.rows >= least
    return GateRecord("rows", passed, f"{standing.rows} of {standing.live_rows}", f">= {limits.min_rows:g} x live")


def _index(standing: Standing, limits: GateLimits) -> GateRecord:
    limit = f">= {limits.min_indexed:g} of its rows"
    if isinstance(standing.indexed, str):
        return GateRecord("index", False, standing.indexed, limit)
    # Replaced and deleted rows stay in an index until Milvus compacts it: it may have more rows than the collection.
    share = min(1.0, standing.indexed / standing.rows) if standing.rows else 0.0
    told = f"{min(standing.indexed, standing.rows)} of {standing.rows} in {standing.candidate.index.index_type}"
    return GateRecord("index", share >= limits.min_indexed and standing.rows > 0, told, limit)


def _recall(measured: Measured, limits: GateLimits) -> GateRecord:
    if measured.recall is None:
        return GateRecord(f"recall@{DEPTH}", None, measured.why or "not measured", f">= {limits.min_recall:g}")
    told = f"{measured.recall:.3f}"
    return GateRecord(f"recall@{DEPTH}", measured.recall >= limits.min_recall, told, f">= {limits.min_recall:g}")


def _overlap(standing: Standing, measured: Measured, limits: GateLimits) -> GateRecord:
    name, limit = f"overlap@{DEPTH}", f">= {limits.min_overlap:g}"
    if measured.overlap is not None:
        return GateRecord(name, measured.overlap >= limits.min_overlap, f"{measured.overlap:.3f}", limit)
    why = measured.why or "not measured"
    if standing.live is None:
        why = "nothing is live"
    elif standing.live.fingerprint != standing.candidate.fingerprint:
        why = "not comparable: another model"
    elif not standing.live.loaded:
        why = "the live collection is not loaded"
    return GateRecord(name, None, why, limit)


def _latency(measured: Measured, limits: GateLimits) -> GateRecord:
    limit = f"<= {limits.max_p99_ms:g} ms or {limits.max_p99_factor:g} x live"
    if measured.p99_ms is None:
        return GateRecord("p99", None, measured.why or "not measured", limit)
    most, told = limits.max_p99_ms, f"{measured.p99_ms:.1f} ms"
    if measured.live_p99_ms is not None:
        most = max(most, limits.max_p99_factor * measured.live_p99_ms)
        told += f", live {measured.live_p99_ms:.1f} ms"
    return GateRecord("p99", measured.p99_ms <= most, told, limit)
