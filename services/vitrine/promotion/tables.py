"""What people and machines read of promotions: a table of gates, a table of collections, and both as plain types."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table

from vitrine.promotion.family import Member, State
from vitrine.promotion.job import Promotion
from vitrine.promotion.moves import Moved
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.lineage import GateRecord

_WORDS = {True: "[green]passed[/]", False: "[bold red]FAILED[/]", None: "[dim]not compared[/]"}
_STYLES = {State.LIVE: "bold green", State.CANDIDATE: "cyan", State.UNFINISHED: "yellow"}


def gate_table(gates: Sequence[GateRecord]) -> Table:
    """One line a gate."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("gate", "measured", "limit", ""):
        table.add_column(heading, overflow="fold")
    for gate in gates:
        table.add_row(gate.name, gate.measured, gate.limit, _WORDS[gate.passed])
    return table


def collection_table(family: Sequence[Member]) -> Table:
    """One line a collection, each alias named once."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("alias", "collection", "state", "rows", "index", "model", "built", "live since"):
        table.add_column(heading, justify="right" if heading == "rows" else "left", overflow="fold")
    last = None
    for member in family:
        info = member.info
        table.add_row(
            "" if member.alias == last else member.alias or "-",
            info.name,
            f"[{_STYLES.get(member.state, 'dim')}]{member.state}[/]" + ("" if info.loaded else " [dim](released)[/]"),
            str(info.rows),
            index_text(info),
            f"{info.model} {info.fingerprint[:8]}",
            _minute(info.lineage.finished_at or info.created_at),
            _minute(info.lineage.promoted_at) if member.state is State.LIVE else "",
        )
        last = member.alias
    return table


def member_as_json(member: Member) -> dict[str, Any]:
    """For `--json`."""
    info, lineage = member.info, member.info.lineage
    return {
        "alias": member.alias or None,
        "collection": info.name,
        "state": member.state.value,
        "rows": info.rows,
        "loaded": info.loaded,
        "index": {"type": info.index.index_type, "params": info.index.build_params()},
        "model": {"name": info.model, "fingerprint": info.fingerprint},
        "created_at": info.created_at.isoformat(),
        "finished_at": _iso(lineage.finished_at),
        "indexed_at": _iso(lineage.indexed_at),
        "promoted_at": _iso(lineage.promoted_at),
        "rolled_back_at": _iso(lineage.rolled_back_at),
        "replaces": lineage.replaces or None,
        "forced": lineage.forced,
        "gates": [gate_as_json(gate) for gate in lineage.gates],
    }


def promotion_as_json(promotion: Promotion) -> dict[str, Any]:
    """For `--json`."""
    live = promotion.pair.live
    return {
        "alias": promotion.alias,
        "live": None if live is None else live.name,
        "candidate": promotion.pair.candidate.name,
        "promoted": promotion.moved is not None,
        "forced": promotion.moved is not None and bool(promotion.failed),
        "queries": promotion.queries,
        "gates": [gate_as_json(gate) for gate in promotion.gates],
        "failed": [gate.name for gate in promotion.failed],
    }


def gate_as_json(gate: GateRecord) -> dict[str, Any]:
    """For `--json`; `passed` is null where nothing was compared."""
    return {"name": gate.name, "passed": gate.passed, "measured": gate.measured, "limit": gate.limit}


def moved_as_json(moved: Moved) -> dict[str, Any]:
    """For `--json`."""
    return {"alias": moved.alias, "before": moved.before or None, "after": moved.after}


def index_text(info: CollectionInfo) -> str:
    """The kind of index with what it was built with."""
    parameters = ", ".join(f"{name}={value}" for name, value in info.index.build_params().items())
    return f"{info.index.index_type} {parameters}".rstrip()


def _minute(moment: Any) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _iso(moment: Any) -> str | None:
    return None if moment is None else str(moment.isoformat())
