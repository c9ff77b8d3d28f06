"""`vitrine plan`: what a collection would need, before there is one."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vitrine.tuning.plan import Demand, IndexPlan, Node

_GIB = 1024**3
_SHOWN = ("M", "ef", "nprobe", "m", "search_list", "rerank")


def register(app: typer.Typer) -> None:
    """Adds `plan`."""
    app.command("plan")(plan)


def plan(
    vectors: Annotated[str, typer.Option(help="Products: 105542, 250k, 100M or 1e9.")],
    qps: Annotated[str, typer.Option(help="Searches a second over all replicas.")] = "100",
    dimension: Annotated[int, typer.Option(help="Of the vectors.")] = 512,
    index: Annotated[
        list[str] | None,
        typer.Option(help="Such as hnsw:M=16,ef=64 or ivf_pq:m=64; can be repeated. By default every kind."),
    ] = None,
    replicas: Annotated[int, typer.Option(help="Copies in memory; two survive the loss of a node.")] = 2,
    limit: Annotated[int, typer.Option(help="Hits of each search.")] = 10,
    row_bytes: Annotated[int, typer.Option(help="Key, texts and numbers of one product.")] = 256,
    segment_mib: Annotated[int, typer.Option(help="Milvus's dataCoord.segment.maxSize.")] = 1_024,
    node_memory_gib: Annotated[float, typer.Option(help="Memory of one query node.")] = 64.0,
    node_cores: Annotated[int, typer.Option(help="Cores of one query node.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON.")] = False,
) -> None:
    """Memory, disk, query nodes and build time of a collection, by kind of index. Asks no server."""
    from vitrine.tuning.plan import Demand, Node, parse_count, plan_every_kind, plan_index
    from vitrine.tuning.written import parse_written

    demand = Demand(
        vectors=parse_count(vectors),
        dimension=dimension,
        qps=parse_count(qps),
        limit=limit,
        replicas=replicas,
        row_bytes=row_bytes,
        segment_mib=segment_mib,
    )
    node = Node(node_memory_gib, node_cores)
    plans = [plan_index(parse_written(text), demand, node) for text in index or ()]
    if not index:
        plans = plan_every_kind(demand, node)
    if as_json:
        typer.echo(json.dumps(_as_json(demand, node, plans), indent=2))
    else:
        _print(Console(), demand, node, plans)


def _print(console: Console, demand: "Demand", node: "Node", plans: "Sequence[IndexPlan]") -> None:
    console.print(
        f"[bold]{demand.vectors:,}[/] vectors of {demand.dimension} dimensions, {demand.replicas} replicas, "
        f"[bold]{demand.qps:,}[/] searches/s.\n"
        f"Query nodes of {node.memory_gib:g} GiB and {node.cores} cores; segments of {demand.segment_mib} MiB.",
        highlight=False,
    )
    console.print("", _bytes_table(plans), "", _nodes_table(plans, node), "", sep="\n")
    told = dict[str, list[str]]()
    for one in plans:
        for driver in one.drivers:
            told.setdefault(driver, []).append(one.index.index_type)
    console.print("What the cost hangs on:")
    for driver, kinds in told.items():
        named = "every index here" if len(kinds) == len(plans) > 1 else ", ".join(dict.fromkeys(kinds))
        console.print(f"  - {driver} [dim]({named})[/]", highlight=False)
    console.print(
        "\nCPU times may be off by a factor of two, those of kinds with * by three. Object storage takes twice as much "
        "while segments are compacted. No recall is promised here: `vitrine recall` measures it.",
        style="dim",
        highlight=False,
    )


def _bytes_table(plans: "Sequence[IndexPlan]") -> Table:
    table = _table("bytes", "memory,\na copy", "all\nreplicas", "local\ndisk", "object\nstorage")
    for one in plans:
        table.add_row(
            _name(one),
            f"{_bytes(one.memory)} ±{one.footprint.uncertainty:3.0%}",
            f"[bold]{_bytes(one.memory_of_replicas)}[/]",
            _bytes(one.local_disk_of_replicas) if one.footprint.local_disk else "-",
            _bytes(one.object_storage),
        )
    return table


def _nodes_table(plans: "Sequence[IndexPlan]", node: "Node") -> Table:
    table = _table("nodes", "CPU,\na search", "for\nmemory", "for\nsearches", "in all", "index\nbuild")
    for one in plans:
        table.add_row(
            _name(one),
            f"{_duration(one.cost.cpu_s)}{' ' if one.measured else '*'}",
            f"{one.nodes_by_memory:,}",
            f"{one.nodes_by_qps:,}",
            f"[bold]{one.nodes:,}[/]",
            _duration(one.build_hours(node.cores) * 3_600),
        )
    return table


def _table(first: str, *headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _as_json(demand: "Demand", node: "Node", plans: "Sequence[IndexPlan]") -> dict[str, Any]:
    return {
        "demand": asdict(demand),
        "node": {"memory_gib": node.memory_gib, "cores": node.cores},
        "plans": [
            {
                "index": one.index.describe(),
                "segments": one.extent.segments,
                "memory_bytes": round(one.memory),
                "index_memory_bytes": round(one.footprint.memory),
                "memory_uncertainty": one.footprint.uncertainty,
                "memory_bytes_of_replicas": round(one.memory_of_replicas),
                "local_disk_bytes_of_replicas": round(one.local_disk_of_replicas),
                "object_storage_bytes": round(one.object_storage),
                "object_storage_bytes_peak": round(one.object_storage_peak),
                "search_cpu_ms": round(one.cost.cpu_s * 1e3, 3),
                "search_cpu_measured": one.measured,
                "search_disk_reads": round(one.cost.reads),
                "build_core_hours": round(one.build_hours(1), 3),
                "nodes_by_memory": one.nodes_by_memory,
                "nodes_by_qps": one.nodes_by_qps,
                "query_nodes": one.nodes,
                "bound_by": one.bound_by,
                "drivers": one.drivers,
            }
            for one in plans
        ],
    }


def _name(one: "IndexPlan") -> str:
    """The kind with the settings that weigh most; all of them would fill the screen."""
    shown = [f"{name}={value}" for name, value in one.index.settings().items() if name in _SHOWN and value]
    return f"{one.index.index_type} {' '.join(shown)}".rstrip()


def _bytes(count: float) -> str:
    for unit, size in (("TiB", 1024 * _GIB), ("GiB", _GIB)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1024**2:,.0f} MiB"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds * 1e3:,.1f} ms"
