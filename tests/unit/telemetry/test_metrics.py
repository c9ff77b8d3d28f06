from vitrine.telemetry.metrics import BUCKETS_S, CacheOutcome, GatewayMetrics, QueryKind
from vitrine.telemetry.stages import Stage


def _metrics() -> GatewayMetrics:
    return GatewayMetrics("1.2.3", {"/a", "/b/{id}"}, {"internal", "query_empty"}, {"triton", "milvus"})


def _series(metrics: GatewayMetrics) -> int:
    return sum(len(metric.samples) for metric in metrics.registry.collect())


def test_invented_paths_methods_and_codes_make_no_series() -> None:
    metrics = _metrics()
    metrics.observe_request("/nobody", "BREW", 404, 0.1)
    metrics.count_error("nobody")
    before = _series(metrics)
    for n in range(200):
        metrics.observe_request(f"/{n}", f"M{n}", 404, 0.1)
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
    for accept in ("*/*", "application/openmetrics-text; version=1.0.0"):
        text, _ = metrics.exposition(accept)
        assert b'vitrine_build_info{version="1.2.3"} 1.0' in text
