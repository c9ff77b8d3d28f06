import re
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

from tests.harness.series import gateway_metrics, most_series
from vitrine.indexer.metrics import IndexMetrics, RowOutcome
from vitrine.indexer.report import IndexStage, StageTimes, Tally
from vitrine.telemetry.metrics import CacheOutcome, ItemOutcome, QueryKind, ShedReason
from vitrine.telemetry.search_metrics import SearchOutcome
from vitrine.telemetry.stages import BUCKETS_S, Hop, Stage

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
# There only while the canary runs, or once something is known.
_AT_TIMES = ("vitrine_canary_", "vitrine_collection_")
_TYPES = {"info": "gauge"}


def _documented() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels by name, as exposed."""
    rows = re.findall(r"^\| `(vitrine_\w+)` \| (\w+) \|([^|]*)\|", PAGE, re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}


def _existing(*registries: CollectorRegistry) -> dict[str, tuple[str, frozenset[str]]]:
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for family in (family for registry in registries for family in registry.collect()):
        if family.name.startswith("vitrine_"):
            suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
            labels = frozenset(label for sample in family.samples for label in sample.labels) - {"le"}
            found[family.name + suffix] = (_TYPES.get(family.type, family.type), labels)
    return found


def _all() -> dict[str, tuple[str, frozenset[str]]]:
    gateway, indexer = gateway_metrics(), IndexMetrics("1")
    gateway.tell_model("f" * 64)
    gateway.observe_request("/livez", "GET", 200, 0.1)
    gateway.count_error("internal")
    indexer.follow(Tally(written_at=1.0), StageTimes({}), int, "f" * 64)
    return _existing(gateway.registry, indexer.registry)


def test_every_metric_there_is_has_its_row() -> None:
    documented = _documented()
    assert {name: documented.get(name) for name in _all()} == _all()


def test_no_row_is_of_a_metric_that_is_gone() -> None:
    gone = {name for name in _documented().keys() - _all().keys() if not name.startswith(_AT_TIMES)}
    assert gone == set()


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("`stage` (gateway)", Stage),
        ("`stage` (indexer)", IndexStage),
        ("`hop`", Hop),
        ("`reason` of shed", ShedReason),
        ("`outcome` of searches", SearchOutcome),
        ("`outcome` of items", ItemOutcome),
        ("`outcome` of the cache", CacheOutcome),
        ("`outcome` of rows", RowOutcome),
        ("`kind`", QueryKind),
    ],
)
def test_a_labels_values_are_those_of_the_code(label: str, values: type[StrEnum]) -> None:
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| {label} |"))
    listed = line.split("|")[2].partition(". ")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", listed))) == {value.value for value in values}


def test_the_edges_are_those_of_the_code() -> None:
    (told,) = re.findall(r"have the edges ([\d. ]+);", PAGE)
    assert tuple(map(float, told.split())) == BUCKETS_S


def test_the_number_of_series_is_bounded_as_told() -> None:
    assert most_series() < _bound(r"fewer than ([\d,]+) series of its own")
    indexer = IndexMetrics("1")
    indexer.follow(Tally(written_at=1.0), StageTimes({}), int, "f" * 64)
    assert _count(indexer.registry) < _bound(r"run of the indexer has fewer than ([\d,]+)")


def _bound(pattern: str) -> int:
    (number,) = re.findall(pattern, " ".join(PAGE.split()))
    return int(number.replace(",", ""))


def _count(registry: CollectorRegistry) -> int:
    return len([sample for sample in _samples(registry.collect()) if sample.name.startswith("vitrine_")])


def _samples(families: Iterable[Metric]) -> Iterable[Sample]:
    return (sample for family in families for sample in family.samples)
