"""Dashboards as Grafana reads them: their panels, and what it would ask Prometheus."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "helm" / "vitrine" / "monitoring" / "dashboards"
_LABEL: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_VARIABLE: Final = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    ref: str
    expression: str
    legend: str
    instant: bool

    @property
    def name(self) -> str:
        return f"{self.dashboard}: {self.panel} ({self.ref})"

    @property
    def legend_labels(self) -> frozenset[str]:
        return frozenset(_LABEL.findall(self.legend))

    def with_variables(self, values: Mapping[str, str]) -> str:
        """The expression as Grafana sends it.

        Raises:
            KeyError: it has a variable without a value.
        """
        return _VARIABLE.sub(lambda match: values[match[1]], self.expression)


def load() -> list[dict[str, Any]]:
    """Every dashboard of the chart."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, rows and what is folded into them included."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries(dashboard: Mapping[str, Any]) -> Iterator[Asked]:
    """All queries of a dashboard's panels."""
    for panel in panels(dashboard):
        for target in panel.get("targets", ()):
            yield Asked(
                dashboard["uid"],
                panel["title"],
                target["refId"],
                target["expr"],
                target["legendFormat"],
                bool(target.get("instant")),
            )
