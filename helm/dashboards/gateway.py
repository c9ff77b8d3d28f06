"""The gateway: where a request's time goes, what it refuses, what it needs."""

from typing import Final

from helm.dashboards import objectives as goal
from helm.dashboards.dashboard import Dashboard, Section
from helm.dashboards.panels import ORANGE, RED, Query, Stat, Step, TimeSeries
from helm.dashboards.promql import mean, of_process, or_zero, quantile, rate, ratio, series, summed

_STAGES: Final = "vitrine_stage_duration_seconds"
_ERRORS: Final = "vitrine_http_errors_total"
_CACHE: Final = "vitrine_embedding_cache_requests_total"

_STATE: Final = Section(
    "State",
    [
        Stat(
            title="Not ready",
            description="Gateways whose /readyz answers 503. Ask one: `curl -s :8080/readyz` names the reason.",
            queries=[Query(f"count({series('vitrine_ready')}) - {summed(series('vitrine_ready'))}", "gateways")],
            unit="short",
            steps=[Step(1, RED)],
            runbooks=["GatewayNotReady"],
        ),
        Stat(
            title="Other model",
            description="Triton, tokenizer and collection are not of one model: searches would be nonsense, so "
            "they are refused. Roll back what was changed last.",
            queries=[Query(f"max({series('vitrine_contract_mismatch')})", "mismatch")],
            unit="short",
            texts={"0": "no", "1": "yes"},
            steps=[Step(1, RED)],
            runbooks=["ContractMismatch"],
        ),
        Stat(
            title="Keys are old",
            description="The file of keys or the issuer's public keys cannot be read; those read before are used.",
            queries=[Query(f"max({series('vitrine_auth_source_stale')})", "stale")],
            unit="short",
            texts={"0": "no", "1": "yes"},
            steps=[Step(1, ORANGE)],
            runbooks=["AuthSourceStale"],
        ),
        Stat(
            title="Versions",
            description="More than one outside a rollout: it is stuck.",
            queries=[
                Query(f"count(count by (version) ({of_process('vitrine_build_info', 'vitrine_ready')}))", "versions")
            ],
            unit="short",
            steps=[Step(2, ORANGE)],
        ),
        Stat(
            title="Permits used",
            description="The fullest gateway. At 100 % it refuses.",
            queries=[
                Query(f"max({series('vitrine_http_in_flight')} / {series('vitrine_http_in_flight_limit')})", "used")
            ],
            unit="percentunit",
            steps=[Step(0.7, ORANGE), Step(0.9, RED)],
            runbooks=["GatewayShedding"],
        ),
        Stat(
            title="Cache hits",
            description="Texts whose embedding was there already or under way. What it saves is Triton's work.",
            queries=[
                Query(
                    ratio(
                        rate(series(_CACHE, 'kind="text"', 'outcome=~"hit|coalesced"'), window="1h"),
                        rate(series(_CACHE, 'kind="text"'), window="1h"),
                    ),
                    "hits",
                )
            ],
            unit="percentunit",
            decimals=0,
            base="blue",
        ),
        TimeSeries(
            title="Ready and dependencies",
            description="1 is well. As each gateway sees it with its readiness check; all of them at once: the "
            "dependency, one alone: its network.",
            queries=[
                Query(f"min({series('vitrine_ready')})", "ready"),
                Query(f"min by (dependency) ({series('vitrine_dependency_up')})", "{{dependency}}"),
            ],
            unit="short",
            width=24,
            height=5,
            most=1,
            runbooks=["GatewayNotReady", "DependencyDown"],
        ),
    ],
)

_TIME: Final = Section(
    "Where the time goes",
    [
        TimeSeries(
            title="Mean time by stage",
            description="Seconds of each stage for one request that has it. The stage that grew is the one to "
            "look into: embed: Triton's page; search and hydrate: Milvus's; decode and tokenize: this process's CPU.",
            queries=[Query(mean(series(f"{_STAGES}_sum"), series(f"{_STAGES}_count"), "stage"), "{{stage}}")],
            unit="s",
            stacked=True,
            width=12,
        ),
        TimeSeries(
            title="Stages, p99",
            description="The slow end of each stage. Lines: 50 and 250 ms for a whole search.",
            queries=[Query(quantile(0.99, series(f"{_STAGES}_bucket"), "stage"), "{{stage}}")],
            unit="s",
            width=12,
            steps=[Step(goal.FAST_S, ORANGE), Step(goal.SLOW_S, RED)],
        ),
        TimeSeries(
            title="Deadline left, least 5 %",
            description="Time left when a request was accepted, embedded, searched and answered. Where the line "
            "drops is who used it; at 0 there are 504s.",
            queries=[Query(quantile(0.05, series("vitrine_deadline_left_seconds_bucket"), "hop"), "{{hop}}")],
            unit="s",
            width=12,
        ),
        TimeSeries(
            title="Latency by route, p99",
            description="All status classes. A route that is slow alone: its own stages; all of them: this process.",
            queries=[
                Query(quantile(0.99, series("vitrine_http_request_duration_seconds_bucket"), "route"), "{{route}}")
            ],
            unit="s",
            width=12,
        ),
    ],
)

_TRAFFIC: Final = Section(
    "Requests",
    [
        TimeSeries(
            title="Requests by route",
            description="`unmatched` are paths that no route has, and requests refused before they were looked at.",
            queries=[Query(rate(series("vitrine_http_requests_total"), "route"), "{{route}}")],
            unit="reqps",
            stacked=True,
        ),
        TimeSeries(
            title="Requests by status",
            description="Classes of status codes, all routes.",
            queries=[Query(rate(series("vitrine_http_requests_total"), "status"), "{{status}}")],
            unit="reqps",
            stacked=True,
        ),
        TimeSeries(
            title="Error codes",
            description="Stable codes of problem answers, listed in docs/api.md with what a caller can do.",
            queries=[
                Query(or_zero(rate(series(_ERRORS)), rate(series("vitrine_http_requests_total"))), "all"),
                Query(rate(series(_ERRORS), "code"), "{{code}}"),
            ],
            unit="reqps",
            runbooks=["CallersHangingUp"],
        ),
        TimeSeries(
            title="In flight by instance",
            description="One far above the others: connections stick to it, or its CPU is throttled.",
            queries=[Query(series("vitrine_http_in_flight"), "{{instance}}")],
            unit="short",
            runbooks=["GatewayShedding"],
        ),
        TimeSeries(
            title="Shed",
            description="Refused before any work was done, by reason.",
            queries=[Query(rate(series("vitrine_http_shed_total"), "reason"), "{{reason}}")],
            unit="reqps",
            runbooks=["GatewayShedding"],
        ),
        TimeSeries(
            title="Items written",
            description="Items of write requests by what became of them. `unconfirmed`: Milvus did not say.",
            queries=[Query(rate(series("vitrine_items_total"), "outcome"), "{{outcome}}")],
            unit="wps",
        ),
    ],
)

_CACHED: Final = Section(
    "Cache of embeddings",
    [
        TimeSeries(
            title="Embeddings asked for",
            description="A miss costs Triton an inference; coalesced ones waited for another request's.",
            queries=[Query(rate(series(_CACHE), "kind, outcome"), "{{kind}} {{outcome}}")],
            unit="reqps",
            stacked=True,
        ),
        TimeSeries(
            title="Memory of the cache",
            description="Bytes kept by each gateway, keys included; bounded by `cache.max_bytes`.",
            queries=[Query(series("vitrine_embedding_cache_bytes"), "{{instance}}")],
            unit="bytes",
        ),
        TimeSeries(
            title="Given up",
            description="For want of room (size) or found too old (age). Much of the first with few hits: a "
            "larger cache.",
            queries=[Query(rate(series("vitrine_embedding_cache_evictions_total"), "reason"), "{{reason}}")],
            unit="cps",
            runbooks=["EmbeddingCacheIneffective"],
        ),
    ],
)

_PROCESS: Final = Section(
    "Process",
    [
        TimeSeries(
            title="CPU",
            description="Cores used. One process has one event loop: near 1 it is full, and every stage looks slow.",
            queries=[
                Query(
                    f"rate({series('process_cpu_seconds_total')}[$__rate_interval])"
                    " and on (namespace, instance) vitrine_ready",
                    "{{instance}}",
                )
            ],
            unit="short",
            steps=[Step(0.8, ORANGE)],
        ),
        TimeSeries(
            title="Memory",
            description="Resident bytes. A line that only rises: compare with the cache and with requests in flight.",
            queries=[Query(of_process("process_resident_memory_bytes", "vitrine_ready"), "{{instance}}")],
            unit="bytes",
        ),
        TimeSeries(
            title="File descriptors",
            description="Of those allowed. Connections of clients are most of them.",
            queries=[
                Query(
                    f"{series('process_open_fds')} / {series('process_max_fds')}"
                    " and on (namespace, instance) vitrine_ready",
                    "{{instance}}",
                )
            ],
            unit="percentunit",
            steps=[Step(0.8, RED)],
        ),
    ],
)

GATEWAY: Final = Dashboard(
    uid="vitrine-gateway",
    title="Vitrine / Gateway",
    description="Where a request's time goes, what is refused, and whether the gateway has what it needs.",
    proof="vitrine_ready",
    sections=[_STATE, _TIME, _TRAFFIC, _CACHED, _PROCESS],
)
