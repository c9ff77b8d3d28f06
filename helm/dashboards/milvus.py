"""Milvus: searches, failures, where their time goes, how far it lags, what it holds. For 2.3.5 and 2.6 alike.

Labels that came later (`db_name`, `collection_name`) are summed away, and values that were renamed are matched by what
they have in common. Times are in milliseconds there.
"""

from typing import Final

from helm.dashboards.dashboard import Dashboard, Section
from helm.dashboards.panels import ORANGE, RED, Query, Step, TimeSeries
from helm.dashboards.promql import of_process, or_zero, quantile, rate, ratio, series, summed

_CALLS: Final = "milvus_proxy_req_count"
_READS: Final = 'function_name=~"Search|HybridSearch|Query"'
# Counted twice: under "total", and under the outcome.
_ONCE: Final = 'status!="total"'
_FAILED: Final = 'status=~"fail.*"'

_SEARCHES: Final = Section(
    "Searches",
    [
        TimeSeries(
            title="Reads",
            description="Searches, and queries (products by id, facets), as proxies answer them.",
            queries=[Query(rate(series(_CALLS, _READS, _ONCE), "function_name"), "{{function_name}}")],
            unit="reqps",
        ),
        TimeSeries(
            title="Share of reads that fails",
            description="As Milvus itself counts. One collection or all? `vitrine collections` shows which are loaded.",
            queries=[
                Query(
                    ratio(
                        rate(series(_CALLS, _READS, _FAILED), "function_name"),
                        rate(series(_CALLS, _READS, _ONCE), "function_name"),
                    ),
                    "{{function_name}}",
                )
            ],
            unit="percentunit",
            steps=[Step(0.01, RED)],
            runbooks=["MilvusSearchFailures"],
        ),
        TimeSeries(
            title="Failures, all calls",
            description="Writes and administration included; 0 is a proxy without failures.",
            queries=[
                Query(
                    or_zero(
                        rate(series(_CALLS, _FAILED), "function_name"), rate(series(_CALLS, _ONCE), "function_name")
                    ),
                    "{{function_name}}",
                )
            ],
            unit="reqps",
            runbooks=["MilvusSearchFailures"],
        ),
        TimeSeries(
            title="Latency of reads",
            description="At the proxy. Far below the gateway's stage *search*: look between them.",
            queries=[
                Query(
                    quantile(share, series("milvus_proxy_sq_latency_bucket"), "query_type"),
                    f"{name} {{{{query_type}}}}",
                )
                for share, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            unit="ms",
        ),
        TimeSeries(
            title="Query nodes: waiting and working, p99",
            description="queue: more query nodes or fewer searches at once; core: the index itself (`ef`, `nprobe`, "
            "segments too many); tsafe: waiting for writes to arrive.",
            queries=[
                Query(quantile(0.99, series(f"milvus_querynode_{name}_latency_bucket", 'query_type="search"')), legend)
                for name, legend in (("sq_queue", "queue"), ("sq_core", "core"), ("sq_wait_tsafe", "tsafe"))
            ],
            unit="ms",
        ),
        TimeSeries(
            title="Reads waiting in query nodes",
            description="Ready to run and not running. Lasting: query nodes are full.",
            queries=[Query(f"sum by (instance) ({series('milvus_querynode_read_task_ready_len')})", "{{instance}}")],
            unit="short",
        ),
    ],
)

_WRITES: Final = Section(
    "Writes and lag",
    [
        TimeSeries(
            title="Rows written",
            description="Upserts (indexing, items) and what they delete.",
            queries=[Query(rate(series("milvus_proxy_upsert_vectors_count")), "upserted")],
            unit="rowsps",
        ),
        TimeSeries(
            title="Lag of query nodes",
            description="How far behind what was written. A search with bounded staleness waits above 5 s.",
            queries=[
                Query(f"max by (instance) ({series('milvus_querynode_consume_tt_lag_ms')})", "{{instance}}"),
            ],
            unit="ms",
            steps=[Step(5_000, ORANGE), Step(10_000, RED)],
            runbooks=["MilvusTimeTickLag"],
        ),
        TimeSeries(
            title="Lag of time ticks at proxies",
            description="By channel. All of them growing: the coordinator or the log (Woodpecker) is slow.",
            queries=[Query(f"max by (channel_name) ({series('milvus_proxy_tt_lag_ms')})", "{{channel_name}}")],
            unit="ms",
            runbooks=["MilvusTimeTickLag"],
        ),
    ],
)

_HELD: Final = Section(
    "What it holds",
    [
        TimeSeries(
            title="Segments in query nodes",
            description="Growing ones are searched without an index. Many and more: compaction does not follow.",
            queries=[
                Query(summed(series("milvus_querynode_segment_num"), "segment_state"), "{{segment_state}}"),
            ],
            unit="short",
            stacked=True,
        ),
        TimeSeries(
            title="Rows in query nodes",
            description="Each copy in memory counts. A step down without a release: a node was lost.",
            queries=[Query(summed(series("milvus_querynode_entity_num"), "segment_state"), "{{segment_state}}")],
            unit="short",
            stacked=True,
            runbooks=["MilvusNodeLost"],
        ),
        TimeSeries(
            title="Nodes by role",
            description="A role with fewer than an hour ago raises an alert.",
            queries=[Query(summed(series("milvus_num_node"), "role_name"), "{{role_name}}")],
            unit="short",
            runbooks=["MilvusNodeLost"],
        ),
        TimeSeries(
            title="Memory",
            description="Resident bytes of each process. Query nodes hold the vectors: docs/sizing.md says how "
            "much that is.",
            queries=[Query(of_process("process_resident_memory_bytes", "milvus_num_node"), "{{instance}}")],
            unit="bytes",
        ),
        TimeSeries(
            title="CPU",
            description="Cores used by each process.",
            queries=[
                Query(
                    f"rate({series('process_cpu_seconds_total')}[$__rate_interval])"
                    " and on (namespace, instance) milvus_num_node",
                    "{{instance}}",
                )
            ],
            unit="short",
        ),
        TimeSeries(
            title="Stored",
            description="Bytes of vectors and fields in object storage, indexes left out.",
            queries=[Query(summed(series("milvus_datacoord_stored_binlog_size")), "binlogs")],
            unit="bytes",
        ),
    ],
)

_VOLUMES: Final = Section(
    "Volumes (Kubernetes)",
    [
        TimeSeries(
            title="Room left in volumes",
            description="Of etcd first of all: without room it takes no writes, and Milvus with it.",
            queries=[
                Query(
                    f"{series('kubelet_volume_stats_available_bytes', everywhere=True)}"
                    f" / {series('kubelet_volume_stats_capacity_bytes', everywhere=True)}",
                    "{{persistentvolumeclaim}}",
                )
            ],
            unit="percentunit",
            width=24,
            most=1,
            base=RED,
            steps=[Step(0.05, ORANGE), Step(0.3, "green")],
            runbooks=["VolumeFilling"],
        )
    ],
    collapsed=True,
)

MILVUS: Final = Dashboard(
    uid="vitrine-milvus",
    title="Vitrine / Milvus",
    description="Searches and their failures, where their time goes, how far it lags, what it holds.",
    proof="milvus_num_node",
    sections=[_SEARCHES, _WRITES, _HELD, _VOLUMES],
)
