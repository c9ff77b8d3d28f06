"""One text query by the usual recipe, by each engine alone and by the gateway, side by side in one run.

    make bench                 the full size: ViT-B/32, 105,542 products
    make bench BENCH=large     and a million products beside them
    make bench BENCH=quick     a tiny model and 5,000 products: whether it all works, not how fast

What is built is kept in `.bench/`. Writes `report.md`, `figures.json` and pictures to `.bench/<size>/results/`. Exit
status: 0 when every figure is within its bound (of the quick size none is asked for), 1 when one is not, 2 when nothing
could be measured.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final, NoReturn

from loadtest.bench.http_connection import BenchError
from loadtest.bench.serving.figures import Figures
from loadtest.bench.serving.machine import CORES, described
from loadtest.bench.serving.plots import draw
from loadtest.bench.serving.preparing import prepare
from loadtest.bench.serving.report import report
from loadtest.bench.serving.session import run
from loadtest.bench.serving.sizes import QUICK, SIZES
from loadtest.bench.serving.verdicts import Verdict, verdicts
from vitrine.errors import VitrineError
from vitrine.settings import read_settings

QUIET_CORES: Final = 0.2
"""Most that others may keep busy; the kernel's own work for the network is among that."""


def main() -> None:
    """Builds what is missing, measures, writes, judges."""
    arguments = _arguments()
    size, began = SIZES[arguments.size], time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)

    try:
        python, engines = arguments.python.absolute(), arguments.engines.absolute()
        machine = described(engines, python)
        prepared = prepare(size, arguments.folder, python, engines, large=arguments.size == "large")
        tell("Everything is built")
        figures = run(prepared, size, python, engines, tell)
    except (BenchError, VitrineError) as error:
        _give_up(str(error))
    figures.machine = {"size": arguments.size, **machine}
    lines = verdicts(figures, CORES)
    _write(figures, lines, prepared.folder / "results")
    print("\n".join(one.line() for one in lines))
    tell(f"Written to {prepared.folder / 'results'}")
    if figures.other_cores > QUIET_CORES:
        print(f"Other programs kept {figures.other_cores:.2f} cores busy meanwhile: the figures are worth little.")
    if size is QUICK:
        print("The quick size is held to no bound.")
        return
    sys.exit(0 if all(one.passed for one in lines) else 1)


def _write(figures: Figures, lines: list[Verdict], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    written = asdict(figures) | {"verdicts": [asdict(one) | {"passed": one.passed} for one in lines]}
    (folder / "figures.json").write_text(json.dumps(written, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(report(figures, lines), encoding="utf-8")
    draw(figures, folder)


def _give_up(reason: str) -> NoReturn:
    sys.stderr.write(f"{reason}\n")
    sys.exit(2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.bench.serving",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="keeps what is built")
    parser.add_argument(
        "--python", type=Path, default=Path(".venv-export/bin/python"), help="has torch and sentence-transformers"
    )
    parser.add_argument("--engines", type=Path, default=read_settings().local.engines_dir)
    return parser.parse_args()


if __name__ == "__main__":
    main()
