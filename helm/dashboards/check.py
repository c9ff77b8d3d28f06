"""Holds the dashboards to Grafana's own types, with the TypeScript compiler. No Grafana is needed.

    npm pack @grafana/schema@13.2.3 && tar xzf grafana-schema-13.2.3.tgz && npm install typescript@5
    python -m helm.dashboards.check package --tsc node_modules/.bin/tsc

Every dashboard, panel, and each panel's options and fields become constants of the type that Grafana has for them; a
field that a type does not know, or a word that it does not allow, is an error. Queries are of the data source's plugin,
whose types are not in that package: a real Prometheus checks them. Exit status 1 when something does not fit.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from helm.dashboards.__main__ import ALL
from helm.dashboards.panels import Json

PANELS: Final = {"timeseries": "TimeSeries", "stat": "Stat", "heatmap": "Heatmap"}
_ENUM: Final = re.compile(r"export declare enum (\w+) \{(.*?)\n\}", re.DOTALL)
_OF_PROMETHEUS: Final = ("expr", "titleFormat", "textFormat", "step")


def unpack_types(package: Path, folder: Path) -> None:
    """Copies the declarations, with enumerations as unions: JSON has their words, not their names."""
    (root,) = {
        path.parents[1] for path in package.rglob("raw/dashboard") if path.is_dir() and any(path.rglob("*.d.ts"))
    }
    for source in root.rglob("*.d.ts"):
        goal = folder / source.relative_to(root)
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_text(_ENUM.sub(_union, source.read_text()))
    own = folder / "node_modules" / "@grafana"
    own.mkdir(parents=True)
    (own / "schema").symlink_to(folder)
    (folder / "package.json").write_text('{"name": "@grafana/schema", "types": "index.d.ts"}')


def _union(match: re.Match[str]) -> str:
    words = re.findall(r'=\s*("[^"]*"|-?\d+)', match[2])
    return f"export type {match[1]} = {' | '.join(words)};"


def program(folder: Path) -> Iterator[str]:
    """Lines of TypeScript."""
    modules = {"dashboard": next(folder.glob("raw/dashboard/x/*types.gen.d.ts"))}
    for kind in PANELS:
        modules[kind] = next(folder.glob(f"raw/composable/{kind}/panelcfg/x/*types.gen.d.ts"))
    for name, path in modules.items():
        yield f"import type * as {name} from './{path.relative_to(folder).as_posix().removesuffix('.d.ts')}';"
    constants = [one for dashboard in ALL for one in _constants(json.loads(json.dumps(dashboard.model())))]
    for number, (kind, value) in enumerate(constants):
        yield f"const c{number}: {kind} = {json.dumps(value)};"


def _constants(model: Json) -> Iterator[tuple[str, Json]]:
    panels = [panel for top in model.pop("panels") for panel in (top, *top.get("panels", ()))]
    for panel in panels:
        if panel["type"] == "row":
            yield "dashboard.RowPanel", {**panel, "panels": []}
            continue
        yield f"{panel['type']}.Options", panel.pop("options")
        custom = panel["fieldConfig"]["defaults"].pop("custom")
        if custom:
            yield f"{panel['type']}.FieldConfig", custom
        yield "dashboard.Panel", panel
    for annotation in model["annotations"]["list"]:
        for name in _OF_PROMETHEUS:
            del annotation[name]
    for variable in model["templating"]["list"]:
        variable.pop("definition", None)  # what older versions show for a query
    yield "dashboard.Dashboard", model


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the unpacked npm package @grafana/schema")
    parser.add_argument("--tsc", default="tsc", help="the TypeScript compiler")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        unpack_types(arguments.package, folder)
        lines = list(program(folder))
        (folder / "check.ts").write_text("\n".join(lines))
        flags = ["--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"]
        compiler = [str(Path(arguments.tsc).resolve()) if "/" in arguments.tsc else arguments.tsc]
        done = subprocess.run([*compiler, *flags, "check.ts"], cwd=folder, check=False)  # noqa: S603 - as the caller says
    if done.returncode == 0:
        print(f"{sum(line.startswith('const') for line in lines)} parts are what Grafana's types say")
    return int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
