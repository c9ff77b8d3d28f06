"""Kinds of panels, with Grafana's own names for what they are made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]
SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
GREEN, ORANGE, RED = "green", "orange", "red"


def link(title: str, url: str) -> Json:
    """A link to somewhere else, opened beside the dashboard."""
    return {
        "title": title,
        "type": "link",
        "url": url,
        "icon": "doc",
        "tooltip": "",
        "tags": [],
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "targetBlank": True,
    }


@dataclass(frozen=True)
class Query:
    """One expression and how its series are called: text, and labels in double braces."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Step:
    """From this value on, this colour."""

    value: float
    color: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What all panels have.

    Args:
        title: short; unique on its dashboard.
        description: what is seen and what to do about it.
        queries: expressions drawn.
        unit: Grafana's id of a unit: s, ms, reqps, percentunit, bytes, short, ...
        width: of 24 columns.
        height: in rows of 30 pixels.
        base: colour below the first step.
        steps: thresholds, ascending.
        runbooks: names of alerts whose pages belong to it.
        least, most: ends of the axis.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    width: int = 8
    height: int = 8
    base: str = GREEN
    steps: Sequence[Step] = ()
    runbooks: Sequence[str] = ()
    least: float | None = None
    most: float | None = None

    def model(self) -> Json:
        """The panel without its id and place."""
        links = [link(f"Runbook: {name}", f"${{runbooks}}/{name}.md") for name in self.runbooks]
        return {
            "type": self.kind(),
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "targets": [self._target(number, query) for number, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self.options(),
            **({"links": links} if links else {}),
        }

    def kind(self) -> str:
        """Grafana's name of the visualisation."""
        raise NotImplementedError

    def options(self) -> Json:
        """What is special to the visualisation."""
        raise NotImplementedError

    def custom(self) -> Json:
        """What is special to its fields."""
        return {}

    def target_extras(self) -> Json:
        """How its queries are asked."""
        return {"range": True}

    def _defaults(self) -> Json:
        steps = [{"value": None, "color": self.base}, *({"value": s.value, "color": s.color} for s in self.steps)]
        ends = {"min": self.least, "max": self.most}
        return {
            "unit": self.unit,
            **{name: value for name, value in ends.items() if value is not None},
            "color": {"mode": self.color_mode()},
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom": self.custom(),
        }

    def color_mode(self) -> str:
        """How a series gets its colour."""
        return "palette-classic"

    def _target(self, number: int, query: Query) -> Json:
        return {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "editorMode": "code",
            "expr": query.expr,
            "legendFormat": query.legend,
            **self.target_extras(),
        }


@dataclass(frozen=True, kw_only=True)
class TimeSeries(Panel):
    """Lines over time; thresholds are dashed lines."""

    stacked: bool = False
    least: float | None = 0

    def kind(self) -> str:
        return "timeseries"

    def custom(self) -> Json:
        return {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 40 if self.stacked else 8,
            "showPoints": "never",
            # A gap is a source that was not there; lines across it would hide that.
            "spanNulls": False,
            "stacking": {"mode": "normal" if self.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if self.steps else "off"},
        }

    def options(self) -> Json:
        return {
            "legend": {"showLegend": True, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }

    def target_extras(self) -> Json:
        # Exemplars lead from a slow search to its trace; only histograms of durations have any.
        return {"range": True, "exemplar": any("_duration_seconds_bucket" in query.expr for query in self.queries)}


@dataclass(frozen=True, kw_only=True)
class Stat(Panel):
    """One number now, on the colour of its threshold."""

    width: int = 4
    height: int = 4
    decimals: int | None = None
    texts: dict[str, str] = field(default_factory=dict)

    def kind(self) -> str:
        return "stat"

    def color_mode(self) -> str:
        return "thresholds"

    def options(self) -> Json:
        return {
            "colorMode": "background",
            "graphMode": "none",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "auto",
            "wideLayout": True,
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        }

    def target_extras(self) -> Json:
        return {"instant": True, "range": False}

    def _defaults(self) -> Json:
        mapping = {"type": "value", "options": {value: {"text": text} for value, text in self.texts.items()}}
        return {
            **super()._defaults(),
            # Nothing is not zero: a source that is away must not look well.
            "noValue": "no data",
            **({"decimals": self.decimals} if self.decimals is not None else {}),
            **({"mappings": [mapping]} if self.texts else {}),
        }


@dataclass(frozen=True, kw_only=True)
class Heatmap(Panel):
    """Buckets of one histogram over time; the query sums increases by `le`."""

    def kind(self) -> str:
        return "heatmap"

    def options(self) -> Json:
        return {
            "calculate": False,
            "cellGap": 1,
            "cellValues": {"unit": "short"},
            "color": {
                "mode": "scheme",
                "scheme": "Oranges",
                "fill": "dark-orange",
                "scale": "exponential",
                "exponent": 0.5,
                "steps": 64,
                "reverse": False,
            },
            "exemplars": {"color": "rgba(255,0,255,0.7)"},
            "filterValues": {"le": 1e-9},
            "legend": {"show": True},
            "rowsFrame": {"layout": "auto"},
            "showValue": "never",
            "tooltip": {"mode": "single", "yHistogram": True},
            "yAxis": {"axisPlacement": "left", "reverse": False, "unit": self.unit},
        }

    def custom(self) -> Json:
        return {"hideFrom": {"legend": False, "tooltip": False, "viz": False}, "scaleDistribution": {"type": "linear"}}

    def target_extras(self) -> Json:
        return {"format": "heatmap", "range": True, "exemplar": True}
