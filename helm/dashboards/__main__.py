"""Writes every dashboard to FOLDER/UID.json; by default into the chart."""

import json
import sys
from pathlib import Path
from typing import Final

from helm.dashboards.dashboard import Dashboard
from helm.dashboards.gateway import GATEWAY
from helm.dashboards.indexing import INDEXING
from helm.dashboards.milvus import MILVUS
from helm.dashboards.overview import OVERVIEW
from helm.dashboards.triton import TRITON

CHART_FOLDER: Final = Path(__file__).resolve().parents[1] / "vitrine" / "monitoring" / "dashboards"
ALL: Final[tuple[Dashboard, ...]] = (OVERVIEW, GATEWAY, TRITON, MILVUS, INDEXING)


def main(arguments: list[str]) -> None:
    """Takes at most one argument, the folder."""
    folder = Path(arguments[0]) if arguments else CHART_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in ALL:
        text = json.dumps(dashboard.model(), indent=2, ensure_ascii=False) + "\n"
        (folder / f"{dashboard.uid}.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
