from vitrine.domain import Deadline
from vitrine.telemetry.metrics import CacheOutcome, GatewayMetrics, QueryKind, ShedReason
from vitrine.telemetry.search_metrics import SCORE_EDGES, SearchOutcome
from vitrine.telemetry.stages import BUCKETS_S, Hop, Stage, StageClock

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def _metrics() -> GatewayMetrics:
    return GatewayMetrics(
        "1.2.3", {("/a", "GET"), ("/b/{id}", "PUT")}, {"internal", "query_empty"}, {"triton", "milvus"}
    )


def _series(metrics: GatewayMetrics) -> int:
    return sum(len(metric.samples) for metric in metrics.registry.collect())


def test_invented_paths_methods_and_codes_make_no_series() -> None:
    metrics = _metrics()
    metrics.observe_request("/nobody", "BREW", 404, 0.1)
    metrics.observe_request("/a", "PUT", 405, 0.1)
    metrics.count_error("nobody")
    before = _series(metrics)
    for n in range(200):
        metrics.observe_request(f"/{n}", f"M{n}", 404, 0.1)
        metrics.observe_request("/a", f"M{n}", 405, 0.1)
        metrics.count_error(f"code{n}")
    assert _series(metrics) == before
    assert metrics.registry.get_sample_value("vitrine_http_errors_total", {"code": "internal"}) == 201


def test_every_stage_has_its_series_from_the_start() -> None:
    metrics = _metrics()
    for stage in Stage:
        assert metrics.registry.get_sample_value("vitrine_stage_duration_seconds_count", {"stage": stage.value}) == 0


def test_the_caches_series_are_there_from_the_start() -> None:
    metrics = _metrics()
    for kind in QueryKind:
        for outcome in CacheOutcome:
            labels = {"kind": kind.value, "outcome": outcome.value}
            assert metrics.registry.get_sample_value("vitrine_embedding_cache_requests_total", labels) == 0
    for reason in ("size", "age"):
        labels = {"reason": reason}
        assert metrics.registry.get_sample_value("vitrine_embedding_cache_evictions_total", labels) == 0


def test_failures_have_a_zero_before_the_first_one() -> None:
    """Else `rate` would not see the first ones of each process, and an objective would not count them."""
    metrics = _metrics()
    for route, method in (("/a", "GET"), ("/b/{id}", "PUT"), ("unmatched", "POST")):
        labels = {"route": route, "method": method, "status": "5xx"}
        assert metrics.registry.get_sample_value("vitrine_http_requests_total", labels) == 0


def test_what_may_never_happen_has_its_series_from_the_start() -> None:
    metrics = _metrics()
    for name, label, values in (
        ("vitrine_http_shed_total", "reason", ShedReason),
        ("vitrine_searches_total", "outcome", SearchOutcome),
        ("vitrine_deadline_left_seconds_count", "hop", Hop),
    ):
        for value in values:
            assert metrics.registry.get_sample_value(name, {label: value.value}) == 0


def test_a_search_is_counted_by_what_it_found_and_its_best_score_kept() -> None:
    metrics = _metrics()
    for score in (0.31, -0.05, None):
        metrics.searches.observe_best(score)
    value = metrics.registry.get_sample_value
    assert value("vitrine_searches_total", {"outcome": "hits"}) == 2
    assert value("vitrine_searches_total", {"outcome": "empty"}) == 1
    assert value("vitrine_search_top_score_count") == 2
    assert value("vitrine_search_top_score_bucket", {"le": "0.3"}) == 1
    assert value("vitrine_search_top_score_bucket", {"le": "0.325"}) == 2


def test_scores_of_every_cosine_have_a_bucket() -> None:
    assert list(SCORE_EDGES) == sorted(set(SCORE_EDGES))
    assert SCORE_EDGES[-1] == 1


def test_time_that_is_used_up_counts_as_none_left() -> None:
    metrics, clock = _metrics(), StageClock()
    clock.note_left(Hop.ACCEPTED, Deadline.after(60))
    clock.note_left(Hop.ANSWERED, Deadline.after(-1))
    metrics.searches.observe_left(clock.left)
    value = metrics.registry.get_sample_value
    assert value("vitrine_deadline_left_seconds_bucket", {"hop": "accepted", "le": "10.0"}) == 0
    assert value("vitrine_deadline_left_seconds_bucket", {"hop": "answered", "le": "0.001"}) == 1
    assert value("vitrine_deadline_left_seconds_sum", {"hop": "answered"}) == 0
    assert value("vitrine_deadline_left_seconds_count", {"hop": "embed"}) == 0


def test_the_latency_objectives_are_bucket_edges() -> None:
    assert {0.05, 0.25} <= set(BUCKETS_S)
    assert list(BUCKETS_S) == sorted(BUCKETS_S)


def test_two_registries_share_nothing() -> None:
    first, second = _metrics(), _metrics()
    first.observe_request("/a", "GET", 200, 0.1)
    labels = {"route": "/a", "method": "GET", "status": "2xx"}
    assert first.registry.get_sample_value("vitrine_http_requests_total", labels) == 1
    assert second.registry.get_sample_value("vitrine_http_requests_total", labels) is None


def test_both_expositions_name_the_build() -> None:
    metrics = _metrics()
    for accept in ("*/*", OPENMETRICS):
        text, _ = metrics.exposition(accept)
        assert b'vitrine_build_info{version="1.2.3"} 1.0' in text


def test_the_build_is_one_series_also_with_its_model() -> None:
    metrics = _metrics()
    metrics.tell_model("f" * 64)
    text = metrics.exposition("*/*")[0].decode()
    (line,) = (line for line in text.splitlines() if line.startswith("vitrine_build_info"))
    assert line == f'vitrine_build_info{{fingerprint="{"f" * 64}",version="1.2.3"}} 1.0'


def test_recorded_traces_are_exemplars_for_those_who_read_openmetrics() -> None:
    metrics = _metrics()
    metrics.observe_request("/a", "GET", 200, 0.004, "0af7651916cd43dd8448eb211c80319c")
    metrics.observe_request("/a", "GET", 200, 0.04)
    metrics.observe_stages({Stage.EMBED: 0.003}, "0af7651916cd43dd8448eb211c80319c")
    marked = [line for line in metrics.exposition(OPENMETRICS)[0].decode().splitlines() if " # {" in line]
    assert [line.partition("{")[0] for line in marked] == [
        "vitrine_http_request_duration_seconds_bucket",
        "vitrine_stage_duration_seconds_bucket",
    ]
    assert all(
        'le="0.005"' in line and '# {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.00' in line for line in marked
    )
    assert b" # {" not in metrics.exposition("*/*")[0]


def test_no_series_says_when_another_began() -> None:
    metrics = _metrics()
    metrics.observe_request("/a", "GET", 200, 0.1)
    names = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    assert not {name for name in names if name.endswith("_created")}
