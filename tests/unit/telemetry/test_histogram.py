import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from vitrine.telemetry.histogram import LoopHistogram

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
VALUES = (0.0, 0.1, 0.10000001, 0.24, 0.25, 1.0, 7.0)
EDGES = (0.1, 0.25, 1.0)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def _told(registry: CollectorRegistry, accept: str) -> str:
    return choose_encoder(accept)[0](registry).decode()


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@pytest.mark.parametrize("edges", [EDGES, (-0.5, *EDGES)])
def test_it_tells_what_the_librarys_own_histogram_tells(accept: str, edges: tuple[float, ...]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    own = LoopHistogram("seconds", "Time.", ("stage",), edges, ours).labels("embed")
    other = Histogram("seconds", "Time.", ("stage",), buckets=edges, registry=theirs).labels("embed")
    for value in VALUES:
        own.observe(value)
        other.observe(value)
    expected = [line for line in _told(theirs, accept).splitlines() if "_created" not in line]
    assert sorted(_told(ours, accept).splitlines()) == sorted(expected)


def test_the_latest_recorded_trace_of_a_bucket_is_its_exemplar() -> None:
    registry = CollectorRegistry()
    own = LoopHistogram("seconds", "Time.", (), EDGES, registry).labels()
    own.observe(0.2, "f" * 32)
    own.observe(0.15, TRACE)
    own.observe(0.16)
    (family,) = text_string_to_metric_families(_told(registry, OPENMETRICS))
    exemplars = {sample.labels["le"]: sample.exemplar for sample in family.samples if sample.exemplar}
    assert {edge: (one.labels, one.value) for edge, one in exemplars.items()} == {"0.25": ({"trace_id": TRACE}, 0.15)}


def test_a_series_is_there_before_its_first_observation_and_once() -> None:
    registry = CollectorRegistry()
    histogram = LoopHistogram("seconds", "Time.", ("stage",), EDGES, registry)
    assert histogram.labels("embed") is histogram.labels("embed")
    assert registry.get_sample_value("seconds_count", {"stage": "embed"}) == 0


def test_a_name_that_is_taken_is_refused() -> None:
    registry = CollectorRegistry(auto_describe=True)
    LoopHistogram("seconds", "Time.", (), EDGES, registry)
    with pytest.raises(ValueError, match="Duplicated"):
        LoopHistogram("seconds", "Time.", (), EDGES, registry)
