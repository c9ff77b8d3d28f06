"""A dashboard: sections of panels, variables, links; laid out and written as Grafana's JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from helm.dashboards.panels import SOURCE, Json, Panel

SCHEMA_VERSION: Final = 42
"""Of Grafana 13. Older ones read it; they only warn of what they do not know."""
COLUMNS: Final = 24
RUNBOOKS: Final = "../docs/runbooks/alerts"
"""Where runbooks are as long as nobody says; the chart puts `monitoring.runbooksUrl` there."""


@dataclass(frozen=True)
class Section:
    """A row of the dashboard that can be folded.

    Args:
        title: of the row.
        panels: placed from left to right, then on the next line; those of one line have one height.
        collapsed: folded at first: panels that only some installations have data for.
    """

    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True)
class Dashboard:
    """What is on one page.

    Args:
        uid: stable, because links and bookmarks hold it; also the name of the file.
        title: as shown in lists.
        description: what the page answers.
        proof: metric whose instances can be chosen.
        sections: the panels.
        namespaces: metric whose namespaces can be chosen; `proof` when empty.
        since: how far back it looks at first.
    """

    uid: str
    title: str
    description: str
    proof: str
    sections: Sequence[Section]
    namespaces: str = ""
    since: str = "now-3h"

    def model(self) -> Json:
        """Grafana's JSON."""
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["vitrine"],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": self.since, "to": "now"},
            "refresh": "30s",
            "templating": {"list": self._variables()},
            "annotations": {"list": [_FIRING]},
            "links": [_OTHER_PAGES],
            "panels": list(self._placed()),
        }

    def _placed(self) -> Iterator[Json]:
        number, top = 1, 0
        for section in self.sections:
            inside = []
            row = {"id": number, "type": "row", "title": section.title, "collapsed": section.collapsed}
            number, place = number + 1, {"h": 1, "w": COLUMNS, "x": 0, "y": top}
            top += 1
            for line in _lines(section.panels):
                left = 0
                for panel in line:
                    spot = {"h": panel.height, "w": panel.width, "x": left, "y": top}
                    inside.append({"id": number, "gridPos": spot, **panel.model()})
                    number, left = number + 1, left + panel.width
                top += line[0].height
            # Grafana keeps the panels of a folded row inside it, those of an open row after it.
            yield {**row, "gridPos": place, "panels": inside if section.collapsed else []}
            if not section.collapsed:
                yield from inside

    def _variables(self) -> list[Json]:
        return [
            {
                "name": "datasource",
                "label": "Data source",
                "type": "datasource",
                "query": "prometheus",
                "refresh": 1,
            },
            _of_label("namespace", "Namespace", f"label_values({self.namespaces or self.proof}, namespace)"),
            _of_label("instance", "Instance", f'label_values({self.proof}{{namespace=~"$namespace"}}, instance)'),
            {
                "name": "runbooks",
                "type": "constant",
                "hide": 2,
                "query": RUNBOOKS,
                "current": {"text": RUNBOOKS, "value": RUNBOOKS},
            },
        ]


def _of_label(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Also matches series without the label, as there are outside Kubernetes.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _lines(panels: Sequence[Panel]) -> Iterator[Sequence[Panel]]:
    line: list[Panel] = []
    for panel in panels:
        if sum(one.width for one in line) + panel.width > COLUMNS:
            yield line
            line = []
        line.append(panel)
        if panel.height != line[0].height:
            raise ValueError(f"{panel.title!r} is not as high as {line[0].title!r} beside it")
    if line:
        yield line


_FIRING: Final[Json] = {
    "name": "Alerts",
    "datasource": SOURCE,
    "enable": True,
    "iconColor": "red",
    "expr": 'ALERTS{alertstate="firing", severity=~"page|ticket"}',
    "titleFormat": "{{alertname}}",
    "textFormat": "{{severity}}",
    "step": "60s",
}
_OTHER_PAGES: Final[Json] = {
    "title": "Vitrine",
    "type": "dashboards",
    "tags": ["vitrine"],
    "icon": "external link",
    "tooltip": "",
    "asDropdown": True,
    "includeVars": False,
    "keepTime": True,
    "targetBlank": False,
}
