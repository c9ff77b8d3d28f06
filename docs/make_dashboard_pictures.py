"""Draws the dashboards with what a running Prometheus has, for docs/dashboards.md.

    python docs/make_dashboard_pictures.py http://127.0.0.1:19090 docs/images --minutes 20

The queries, places, units and thresholds are the dashboards' own; the drawing is Matplotlib's, because no Grafana is
needed for it. It shows that there is data and what it looks like, not how Grafana looks.
"""

import argparse
import io
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

DASHBOARDS: Final = Path(__file__).resolve().parents[1] / "helm" / "vitrine" / "monitoring" / "dashboards"
COLUMNS: Final = 24
COLUMN_IN, ROW_IN = 0.58, 0.3
COLORS: Final = {"green": "#3f8f4f", "orange": "#e08a1e", "red": "#c4302b", "blue": "#3867a8"}
PALETTE: Final = ("#4878a8", "#e08a1e", "#3f8f4f", "#c4302b", "#8a64a8", "#8a6a4a", "#d070a8", "#707070", "#a0a030")
POINTS: Final = 240
SERIES_IN_LEGEND: Final = 6

Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One series: its legend, labels, and a value at each of `Source.times`, which is NaN where there is none."""

    legend: str
    labels: Mapping[str, str]
    values: Sequence[float]

    @property
    def last(self) -> float:
        """The last value that there is."""
        return next(value for value in reversed(self.values) if math.isfinite(value))


class Source:
    """Asks Prometheus what the panels ask, over the last minutes."""

    def __init__(self, url: str, minutes: float) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        self.end = time.time()
        self.start = self.end - minutes * 60
        self._step = (self.end - self.start) / POINTS
        self.times = [point * self._step - (self.end - self.start) for point in range(POINTS + 1)]
        """Seconds before now, of the points that are drawn."""

    def lines(self, target: Json) -> Iterator[Line]:
        """The series of one query, for all namespaces and instances."""
        expression = target["expr"].replace("$__rate_interval", f"{max(20, 2 * int(self._step))}s")
        expression = expression.replace("$namespace", ".*").replace("$instance", ".*")
        parameters = {"query": expression, "start": self.start, "end": self.end, "step": self._step}
        answer = self._http.post("/api/v1/query_range", data=parameters).raise_for_status().json()
        for one in answer["data"]["result"]:
            found = {round((float(at) - self.start) / self._step): float(value) for at, value in one["values"]}
            if any(math.isfinite(value) for value in found.values()):
                # Where there is nothing the line has a gap.
                values = [found.get(point, math.nan) for point in range(POINTS + 1)]
                yield Line(named(target["legendFormat"], one["metric"]), one["metric"], values)


def named(legend: str, labels: Mapping[str, str]) -> str:
    """A legend with the values of its labels."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), legend).strip()


def written(value: float, unit: str) -> str:
    """A value as people read it."""
    if unit == "percentunit":
        return f"{value * 100:.4g} %"
    if unit == "bytes":
        return f"{value / 2**20:.4g} MiB"
    if unit in {"s", "ms"}:
        seconds = value / 1000 if unit == "ms" else value
        for size, name in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
            if seconds >= 2 * size or (size == 1 and seconds >= 1):
                return f"{seconds / size:.3g} {name}"
        return f"{seconds * 1000:.3g} ms"
    suffix = {"reqps": "/s", "rowsps": "/s", "ops": "/s", "wps": "/s", "cps": "/s"}.get(unit, "")
    return f"{value:,.0f}" if value == int(value) and not suffix else f"{value:.3g}{suffix}"


def draw_stat(axes: Axes, panel: Json, lines: Sequence[Line]) -> None:
    """The last value on the colour of its threshold."""
    defaults = panel["fieldConfig"]["defaults"]
    axes.set(xticks=[], yticks=[])
    if not lines:
        axes.text(0.5, 0.45, "no data", ha="center", va="center", fontsize=9, color="#888888")
        return
    value = lines[0].last
    steps = defaults["thresholds"]["steps"]
    color = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    axes.set_facecolor(COLORS[color])
    texts: Json = next((one["options"] for one in defaults.get("mappings", ())), {})
    text = texts.get(f"{value:g}", {}).get("text") or written(value, defaults["unit"])
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=13, color="white", transform=axes.transAxes)


def draw_heatmap(axes: Axes, panel: Json, lines: Sequence[Line], source: Source) -> None:
    """Counts by bucket and time, the cumulative buckets taken apart."""
    by_edge = sorted(lines, key=lambda line: float(line.labels["le"]))
    rows, below = [], [0.0] * len(source.times)
    for line in by_edge:
        rows.append([max(0.0, count - less) for count, less in zip(line.values, below, strict=True)])
        below = list(line.values)
    axes.pcolormesh(source.times, range(len(rows)), rows, cmap="Oranges", norm="symlog")
    unit = panel["options"]["yAxis"]["unit"]
    edges = [written(float(line.labels["le"]), unit) if line.labels["le"] != "+Inf" else "more" for line in by_edge]
    axes.set_yticks(range(len(rows)), edges, fontsize=5)


def draw_lines(axes: Axes, panel: Json, lines: Sequence[Line], source: Source) -> None:
    """Lines or a stack, thresholds as dashes."""
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    below = [0.0] * len(source.times)
    for number, line in enumerate(lines):
        values, color = line.values, PALETTE[number % len(PALETTE)]
        if defaults["custom"]["stacking"]["mode"] == "normal":
            values = [low + (value if math.isfinite(value) else 0) for low, value in zip(below, values, strict=True)]
            axes.fill_between(source.times, below, values, color=color, alpha=0.35, lw=0)
            below = values
        axes.plot(source.times, values, lw=0.9, color=color, label=line.legend)
    for step in defaults["thresholds"]["steps"][1:]:
        if step["value"] <= 3 * axes.get_ylim()[1]:
            axes.axhline(step["value"], color=COLORS[step["color"]], lw=0.8, ls="--")
    if "min" in defaults:
        axes.set_ylim(bottom=defaults["min"])
    axes.yaxis.set_major_formatter(lambda value, _: written(value, unit))
    axes.tick_params(labelsize=5.5, length=2)
    axes.grid(color="#eeeeee", lw=0.5)
    shown = [one for one in axes.get_legend_handles_labels()[0] if not str(one.get_label()).startswith("_")]
    if shown:
        axes.legend(handles=shown[:SERIES_IN_LEGEND], fontsize=5, frameon=False, loc="upper left", ncols=2)
    if not lines:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "no data", ha="center", fontsize=8, color="#888888", transform=axes.transAxes)


def draw(dashboard: Json, source: Source) -> Figure:
    """The whole page, without what is folded."""
    panels = dashboard["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    figure = Figure(figsize=(COLUMNS * COLUMN_IN, rows * ROW_IN), dpi=110, facecolor="white")
    for panel in panels:
        place = panel["gridPos"]
        left, bottom = place["x"] / COLUMNS, 1 - (place["y"] + place["h"]) / rows
        if panel["type"] == "row":
            folded = " (folded)" if panel["collapsed"] else ""
            figure.text(0.005, bottom + 0.3 / rows, panel["title"] + folded, fontsize=8, weight="bold")
            continue
        lines = [line for target in panel["targets"] for line in source.lines(target)]
        inset = 0.2 if panel["type"] == "stat" else 1.3
        area = (
            left + inset / COLUMNS,
            bottom + 0.7 / rows,
            (place["w"] - inset - 0.2) / COLUMNS,
            (place["h"] - 2) / rows,
        )
        axes = figure.add_axes(area)
        axes.set_title(panel["title"], fontsize=7, loc="left", pad=3)
        if panel["type"] == "stat":
            draw_stat(axes, panel, lines)
        elif panel["type"] == "heatmap" and lines:
            draw_heatmap(axes, panel, lines, source)
        else:
            draw_lines(axes, panel, lines, source)
        if panel["type"] != "stat":
            axes.set_xlim(source.times[0], 0)
            axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds / 60:.0f} min")
            axes.tick_params(axis="x", labelsize=5.5, length=2)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="address of Prometheus")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("--minutes", type=float, default=20, help="how much of the past is drawn")
    arguments = parser.parse_args()
    for path in sorted(DASHBOARDS.glob("*.json")):
        picture = arguments.folder / f"dashboard-{path.stem.removeprefix('vitrine-')}.png"
        drawn = io.BytesIO()
        draw(json.loads(path.read_text()), Source(arguments.url, arguments.minutes)).savefig(drawn)
        # A third of the bytes; lines and letters need few colours.
        Image.open(drawn).convert("RGB").quantize(96).save(picture, optimize=True)
        print(picture)


if __name__ == "__main__":
    main()
