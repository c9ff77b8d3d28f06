"""The first page: are the objectives met, how fast is the budget spent, and which page to open next."""

from typing import Final

from helm.dashboards import objectives as goal
from helm.dashboards.dashboard import Dashboard, Section
from helm.dashboards.panels import GREEN, ORANGE, RED, Heatmap, Query, Stat, Step, TimeSeries
from helm.dashboards.promql import SEARCH_ROUTES, or_zero, quantile, rate, ratio, series, summed

BURN: Final = "SearchErrorBudgetBurn"
SLOW: Final = ("SearchLatency250BudgetBurn", "SearchLatency50BudgetBurn")
_SEARCHES: Final = "vitrine_http_requests_total"
_ERRORS: Final = "vitrine_http_errors_total"
_ANSWERED: Final = series("vitrine_http_request_duration_seconds_bucket", SEARCH_ROUTES, 'status="2xx"')
_RESTARTS: Final = series("kube_pod_container_status_restarts_total", everywhere=True)


def recorded(rule: str) -> str:
    """A recording rule's series of the chosen namespaces."""
    return series(rule, everywhere=True)


def _burn_lines(rule: str, budget: str) -> list[Query]:
    return [Query(f"{recorded(f'{rule}{window}')} / {budget}", window) for window in ("5m", "1h", "6h", "1d", "3d")]


_OBJECTIVES: Final = Section(
    "Objectives",
    [
        Stat(
            title="Availability, 1 h",
            description="Searches answered without 5xx. Below 99.9 %: look at *Burn of availability* and *Errors "
            "by code*.",
            queries=[Query(f"1 - {recorded('vitrine:search_errors:ratio_rate1h')}", "{{namespace}}")],
            unit="percentunit",
            decimals=2,
            base=RED,
            steps=[Step(goal.AVAILABILITY, GREEN)],
            runbooks=[BURN],
        ),
        Stat(
            title="Budget left, 30 days",
            description="What is left of the 0.1 % of searches that may fail. Below a quarter: postpone risky changes.",
            queries=[Query(recorded("vitrine:availability:budget_left_30d"), "{{namespace}}")],
            unit="percentunit",
            decimals=0,
            base=RED,
            steps=[Step(0, ORANGE), Step(0.25, GREEN)],
            runbooks=[BURN],
        ),
        Stat(
            title="Under 250 ms, 1 h",
            description="Share of answered searches; 99 % is the objective. Below: *Stages* on the gateway's page "
            "say where.",
            queries=[Query(f"1 - {recorded('vitrine:search_slow250:ratio_rate1h')}", "{{namespace}}")],
            unit="percentunit",
            decimals=2,
            base=RED,
            steps=[Step(goal.SLOW_SHARE, GREEN)],
            runbooks=SLOW[:1],
        ),
        Stat(
            title="Under 50 ms, 1 h",
            description="Share of answered searches; 90 % is the objective. Below, with 250 ms met: capacity, not "
            "an outage.",
            queries=[Query(f"1 - {recorded('vitrine:search_slow50:ratio_rate1h')}", "{{namespace}}")],
            unit="percentunit",
            decimals=1,
            base=RED,
            steps=[Step(goal.FAST_SHARE, GREEN)],
            runbooks=SLOW[1:],
        ),
        Stat(
            title="Live recall@10",
            description="Estimated by the canary against exact search. Low: see *Recall* on the page of indexing.",
            queries=[Query(recorded("vitrine:live_recall:ratio"), "{{namespace}}")],
            unit="percentunit",
            decimals=1,
            base=RED,
            steps=[Step(goal.RECALL_ALERT, ORANGE), Step(goal.RECALL, GREEN)],
            runbooks=["LiveRecallLow"],
        ),
        Stat(
            title="Age of the index",
            description="Since a run last brought the default collection completely up to date; 26 h is the objective.",
            queries=[
                Query(
                    f"time() - max by (namespace) ({series('vitrine_collection_indexed_timestamp_seconds')})",
                    "{{namespace}}",
                )
            ],
            unit="s",
            steps=[Step(goal.FRESH_S, RED)],
            runbooks=["CollectionStale"],
        ),
    ],
)

_BURN: Final = Section(
    "Burn rates: 1 spends the budget in exactly 30 days",
    [
        TimeSeries(
            title="Burn of availability",
            description="Above 14.4 (over 1 h and 5 min) and 6 somebody is paged, above 3 and 1 there is a ticket. "
            "5m falls first when the trouble is over.",
            queries=_burn_lines("vitrine:search_errors:ratio_rate", "0.001"),
            unit="short",
            steps=[Step(goal.BURN_TICKET_SLOW, ORANGE), Step(goal.BURN_PAGE, RED)],
            runbooks=[BURN],
        ),
        TimeSeries(
            title="Burn of latency, 250 ms",
            description="Share of searches over 250 ms in units of the 1 % allowed.",
            queries=_burn_lines("vitrine:search_slow250:ratio_rate", "0.01"),
            unit="short",
            steps=[Step(goal.BURN_TICKET_SLOW, ORANGE), Step(goal.BURN_PAGE, RED)],
            runbooks=SLOW[:1],
        ),
        TimeSeries(
            title="Burn of latency, 50 ms",
            description="Share of searches over 50 ms in units of the 10 % allowed; it cannot pass 10.",
            queries=_burn_lines("vitrine:search_slow50:ratio_rate", "0.1"),
            unit="short",
            steps=[Step(goal.BURN_TICKET_SLOW, ORANGE), Step(goal.BURN_PAGE_SLOW, RED)],
            runbooks=SLOW[1:],
        ),
    ],
)

_TRAFFIC: Final = Section(
    "Searches",
    [
        TimeSeries(
            title="Searches by status",
            description="All searches, multi-search as one. 5xx counts against the objective; 4xx is the callers' "
            "doing.",
            queries=[Query(rate(series(_SEARCHES, SEARCH_ROUTES), "status"), "{{status}}")],
            unit="reqps",
            stacked=True,
        ),
        TimeSeries(
            title="Share that fails",
            description="5xx, overload and deadlines included. The line is the objective.",
            queries=[Query(recorded("vitrine:search_errors:ratio_rate5m"), "5m {{namespace}}")],
            unit="percentunit",
            steps=[Step(1 - goal.AVAILABILITY, RED)],
            runbooks=[BURN],
        ),
        TimeSeries(
            title="Errors by code",
            description="Codes of docs/api.md. `overloaded`: more gateways; `encoder_unavailable`: Triton's page; "
            "`vector_store_unavailable`: Milvus's page; `deadline_exceeded`: *Deadline left* on the gateway's page.",
            queries=[
                Query(or_zero(rate(series(_ERRORS)), rate(series("vitrine_http_requests_total"))), "all"),
                Query(rate(series(_ERRORS), "code"), "{{code}}"),
            ],
            unit="reqps",
        ),
        Heatmap(
            title="Latency of answered searches",
            description="Two bands: two kinds of searches, such as those served from the cache. Points are exemplars: "
            "searches with a trace.",
            queries=[
                Query(
                    summed(f"increase({_ANSWERED}[$__rate_interval])", "le"),
                    "{{le}}",
                )
            ],
            unit="s",
            width=12,
        ),
        TimeSeries(
            title="Quantiles of latency",
            description="Estimated within buckets, so read the shares above for the objectives. Lines: 50 and 250 ms.",
            queries=[
                Query(quantile(share, _ANSWERED), name) for share, name in ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
            ],
            unit="s",
            width=12,
            steps=[Step(goal.FAST_S, ORANGE), Step(goal.SLOW_S, RED)],
            runbooks=SLOW,
        ),
    ],
)

_CAPACITY: Final = Section(
    "Capacity",
    [
        TimeSeries(
            title="In flight",
            description="Requests that hold a permit. At the limit further ones are refused with 503 "
            "(`overloaded`): more gateways, or find out which stage became slow.",
            queries=[
                Query(summed(series("vitrine_http_in_flight")), "in flight"),
                Query(summed(series("vitrine_http_in_flight_limit")), "permits"),
            ],
            unit="short",
            runbooks=["GatewayShedding"],
        ),
        TimeSeries(
            title="Shed by reason",
            description="Refused before any work was done.",
            queries=[Query(rate(series("vitrine_http_shed_total"), "reason"), "{{reason}}")],
            unit="reqps",
            runbooks=["GatewayShedding"],
        ),
        TimeSeries(
            title="Gateways",
            description="Ready ones out of those that are scraped. The difference: *Ready and dependencies* on the "
            "gateway's page says why.",
            queries=[
                Query(summed(series("vitrine_ready")), "ready"),
                Query(f"count({series('vitrine_ready')})", "running"),
            ],
            unit="short",
            runbooks=["GatewayNotReady"],
        ),
    ],
)

_ANSWERS: Final = Section(
    "Answers",
    [
        TimeSeries(
            title="Empty answers",
            description="Share of searches without a hit. A jump: a filter nobody meets, an empty or half loaded "
            "collection, or a client's `min_score`.",
            queries=[
                Query(
                    ratio(
                        rate(series("vitrine_searches_total", 'outcome="empty"')),
                        rate(series("vitrine_searches_total")),
                    ),
                    "empty",
                )
            ],
            unit="percentunit",
            width=12,
            most=1,
            runbooks=["EmptyResults"],
        ),
        TimeSeries(
            title="Score of the best hit",
            description="A step after a change of model or collection is expected, one without is not: another model's "
            "vectors, another preprocessing.",
            queries=[
                Query(quantile(share, series("vitrine_search_top_score_bucket")), name)
                for share, name in ((0.1, "p10"), (0.5, "p50"), (0.9, "p90"))
            ],
            unit="short",
            width=12,
            least=None,
        ),
    ],
)

_PODS: Final = Section(
    "Kubernetes (needs kube-state-metrics)",
    [
        TimeSeries(
            title="Pods that are missing",
            description="Wanted and not available, by Deployment.",
            queries=[
                Query(
                    f"{series('kube_deployment_spec_replicas', everywhere=True)}"
                    f" - {series('kube_deployment_status_replicas_available', everywhere=True)}",
                    "{{deployment}}",
                )
            ],
            unit="short",
        ),
        TimeSeries(
            title="Restarts",
            description="Of containers, over an hour. `kubectl logs --previous` has the end of the one that died.",
            queries=[
                Query(
                    summed(f"increase({_RESTARTS}[1h])", "pod, container"),
                    "{{pod}} {{container}}",
                )
            ],
            unit="short",
        ),
        TimeSeries(
            title="Failed Jobs",
            description="Pods of Jobs that failed: the indexer's log names the reason.",
            queries=[Query(summed(series("kube_job_status_failed", everywhere=True), "job_name"), "{{job_name}}")],
            unit="short",
            runbooks=["IndexJobFailed"],
        ),
    ],
    collapsed=True,
)

_FIRING: Final = 'ALERTS{alertstate="firing", severity=~"page|ticket"}'
_ALERTS: Final = Section(
    "Alerts",
    [
        TimeSeries(
            title="Firing",
            description="All of them, and each by name. The red marks on every page are the same.",
            queries=[
                Query(or_zero(f"count({_FIRING})", f"count({series('vitrine_ready')})"), "all"),
                Query(f"count by (alertname) ({_FIRING})", "{{alertname}}"),
            ],
            unit="short",
            width=24,
            height=5,
        )
    ],
)

OVERVIEW: Final = Dashboard(
    uid="vitrine-overview",
    title="Vitrine / Overview",
    description="Are the objectives met, how fast is the budget spent, where to look next.",
    proof="vitrine_ready",
    sections=[_OBJECTIVES, _ALERTS, _BURN, _TRAFFIC, _CAPACITY, _ANSWERS, _PODS],
)
