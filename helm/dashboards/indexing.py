"""Indexing: how a run goes, what it rejects, how old the result is and how well it is found."""

from typing import Final

from helm.dashboards import objectives as goal
from helm.dashboards.dashboard import Dashboard, Section
from helm.dashboards.panels import GREEN, ORANGE, RED, Query, Stat, Step, TimeSeries
from helm.dashboards.promql import mean, of_process, quantile, rate, ratio, series, summed

_ROWS: Final = "vitrine_index_rows_total"
_STAGE: Final = "vitrine_index_stage_duration_seconds"

_RESULT: Final = Section(
    "The collection that shoppers search",
    [
        Stat(
            title="Last complete run",
            description="Since the collection behind the default alias was brought completely up to date.",
            queries=[
                Query(
                    "time() - max by (namespace) "
                    f"({series('vitrine_collection_indexed_timestamp_seconds', everywhere=True)})",
                    "{{namespace}}",
                )
            ],
            unit="s",
            width=6,
            steps=[Step(goal.FRESH_S, RED)],
            runbooks=["CollectionStale"],
        ),
        Stat(
            title="Rows",
            description="Of that collection, as gateways see it.",
            queries=[
                Query(f"max by (namespace) ({series('vitrine_collection_rows', everywhere=True)})", "{{namespace}}")
            ],
            unit="short",
            width=6,
            base="blue",
        ),
        Stat(
            title="Recall@10",
            description="Of the canary's last runs. Low after a change of index: `vitrine tune`; low without one: "
            "Milvus's page, segments and nodes.",
            queries=[Query(series("vitrine:live_recall:ratio", everywhere=True), "{{namespace}}")],
            unit="percentunit",
            width=6,
            decimals=1,
            base=RED,
            steps=[Step(goal.RECALL_ALERT, ORANGE), Step(goal.RECALL, GREEN)],
            runbooks=["LiveRecallLow"],
        ),
        Stat(
            title="Neighbours behind it",
            description="How many sampled neighbours the figure of recall rests on; below 200 it is a guess.",
            queries=[
                Query(
                    f"sum by (namespace) ({series('vitrine_canary_sampled_neighbours', everywhere=True)})",
                    "{{namespace}}",
                )
            ],
            unit="short",
            width=6,
            base=ORANGE,
            steps=[Step(200, GREEN)],
            runbooks=["CanarySilent"],
        ),
    ],
)

_RUN: Final = Section(
    "Runs",
    [
        TimeSeries(
            title="Rows by outcome",
            description="read is the sum of the others, but for deleted. Unchanged rows cost no inference.",
            queries=[Query(rate(series(_ROWS), "outcome"), "{{outcome}}")],
            unit="rowsps",
            runbooks=["IndexStalled"],
        ),
        TimeSeries(
            title="Rows of this run",
            description="Since each process began. Flat before the end: the run waits for an engine.",
            queries=[Query(summed(series(_ROWS), "outcome"), "{{outcome}}")],
            unit="short",
        ),
        TimeSeries(
            title="Share rejected",
            description="Of rows read. 5 % is a column that changed or a folder that is not there.",
            queries=[
                Query(
                    ratio(rate(series(_ROWS, 'outcome="rejected"')), rate(series(_ROWS, 'outcome="read"'))), "rejected"
                )
            ],
            unit="percentunit",
            steps=[Step(0.05, RED)],
            runbooks=["IndexRejectingMuch"],
        ),
        TimeSeries(
            title="Rejected by reason",
            description="Of this run. The CSV beside the ledger has the products; docs/catalogues.md the reasons.",
            queries=[Query(summed(series("vitrine_index_rejected_total"), "reason"), "{{reason}}")],
            unit="short",
            runbooks=["IndexRejectingMuch"],
        ),
        TimeSeries(
            title="Mean time of a step by stage",
            description="A step of embed and write is a batch, of decode a picture. The stage whose steps grew sets "
            "the pace. embed: Triton's page, clip_image; read and decode: the volume with the pictures; "
            "write: Milvus's page.",
            queries=[Query(mean(series(f"{_STAGE}_sum"), series(f"{_STAGE}_count"), "stage"), "{{stage}}")],
            unit="s",
        ),
        TimeSeries(
            title="Steps, p99 by stage",
            description="The slow ones: retries and waits for Milvus show here first.",
            queries=[Query(quantile(0.99, series(f"{_STAGE}_bucket"), "stage"), "{{stage}}")],
            unit="s",
        ),
        TimeSeries(
            title="Batches in flight",
            description="Being embedded by Triton, waits before another try included. 0 for long: Milvus, or the "
            "volume with the pictures, is the slower one.",
            queries=[Query(series("vitrine_index_batches_in_flight"), "{{instance}}")],
            unit="short",
            runbooks=["IndexStalled"],
        ),
        TimeSeries(
            title="Since the last write",
            description="By process. Growing while batches are in flight: the run is stuck.",
            queries=[
                Query(
                    f"time() - ({series('vitrine_index_last_write_timestamp_seconds')} > 0)",
                    "{{instance}}",
                )
            ],
            unit="s",
            steps=[Step(900, RED)],
            runbooks=["IndexStalled"],
        ),
        TimeSeries(
            title="Memory of the indexer",
            description="Resident bytes; bounded by the queues between stages.",
            queries=[
                Query(of_process("process_resident_memory_bytes", "vitrine_index_batches_in_flight"), "{{instance}}")
            ],
            unit="bytes",
        ),
    ],
)

_CANARY: Final = Section(
    "Recall",
    [
        TimeSeries(
            title="Live recall by gateway",
            description="One gateway far from the others: few neighbours. All of them down: the index.",
            queries=[Query(series("vitrine_canary_recall_ratio", everywhere=True), "{{instance}}")],
            unit="percentunit",
            most=1,
            least=None,
            base=RED,
            steps=[Step(goal.RECALL_ALERT, ORANGE), Step(goal.RECALL, GREEN)],
            runbooks=["LiveRecallLow"],
        ),
        TimeSeries(
            title="Canary runs",
            description="Failed ones: an engine was away, or slower than the canary's deadline.",
            queries=[
                Query(
                    rate(series("vitrine_canary_runs_total", everywhere=True), "outcome", window="15m"), "{{outcome}}"
                )
            ],
            unit="cps",
            runbooks=["CanarySilent"],
        ),
        TimeSeries(
            title="Time of a canary run",
            description="What it costs Triton and Milvus.",
            queries=[
                Query(
                    quantile(0.99, series("vitrine_canary_duration_seconds_bucket", everywhere=True), window="15m"),
                    "p99",
                )
            ],
            unit="s",
        ),
    ],
)

INDEXING: Final = Dashboard(
    uid="vitrine-indexing",
    title="Vitrine / Indexing",
    description="How runs go, what they reject, how old the collection is and how well it is searched.",
    proof="vitrine_index_rows_total",
    sections=[_RESULT, _RUN, _CANARY],
    # A namespace stays when no run lasts; and runs are a night apart.
    namespaces="vitrine_ready",
    since="now-24h",
)
