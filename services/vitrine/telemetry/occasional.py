"""A gauge that is absent until there is something to tell."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class OccasionalGauge(Collector):
    """One series without labels, which is there while its value is known: a 0 in its place would be a statement.

    Args:
        name: of the metric.
        help_text: what it means.
        registry: where it is.
    """

    def __init__(self, name: str, help_text: str, registry: CollectorRegistry) -> None:
        self._name = name
        self._help = help_text
        self._value: float | None = None
        registry.register(self)

    def set(self, value: float | None) -> None:
        """Tells a value; None: it is not known any more."""
        self._value = value

    def describe(self) -> Iterable[Metric]:
        """The metric without its series."""
        return [GaugeMetricFamily(self._name, self._help)]

    def collect(self) -> Iterable[Metric]:
        """The metric, with its series while there is one."""
        family = GaugeMetricFamily(self._name, self._help)
        value = self._value
        if value is not None:
            family.add_metric([], value)
        return [family]
