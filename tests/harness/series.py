"""Series of /metrics: which there are, and how many there can be at most."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from vitrine.gateway.app import create_app
from vitrine.gateway.errors import CODES
from vitrine.settings import GatewaySettings, Settings
from vitrine.telemetry.metrics import METHODS, GatewayMetrics

Series: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
_STATUSES = (200, 304, 404, 503)


def series_of(text: str) -> set[Series]:
    """Name and labels of every series of the product in an exposition."""
    return _own(text_string_to_metric_families(text))


def gateway_metrics() -> GatewayMetrics:
    """The metrics of a gateway that serves everything it can; nothing of it is started."""
    app = create_app(Settings(gateway=GatewaySettings(media_root=Path("media"))))
    found: GatewayMetrics = next(each.kwargs["metrics"] for each in app.user_middleware if "metrics" in each.kwargs)
    return found


def most_series() -> int:
    """How many series of the product a gateway has once every label has had every value."""
    metrics = gateway_metrics()
    for route in (*{path for path, _ in metrics.routes}, None):
        for method in (*METHODS, "BREW"):
            for status in _STATUSES:
                metrics.observe_request(route, method, status, 0.0)
    for code in CODES:
        metrics.count_error(code)
    return len(_own(metrics.registry.collect()))


def _own(families: Iterable[Metric]) -> set[Series]:
    samples = (sample for family in families for sample in family.samples)
    return {(one.name, frozenset(one.labels.items())) for one in samples if one.name.startswith("vitrine_")}
