"""What is a change of the gateway, or a setting, worth? Its variants are loaded in turns on one stack.

    python loadtest/bench/gateway_variants.py joined alone:VITRINE_SEARCH__MAX_JOINED=1
    python loadtest/bench/gateway_variants.py now before@../vitrine-before --connections 1 --fresh

A variant is NAME[:VARIABLE=VALUE,...][@FOLDER]; FOLDER is another checkout, whose `services` it runs, in its own
environment if it has one (`.venv`), so that an interpreter or a dependency can be compared too. The collection has
105,542 products that lie as CLIP's do (clip_like.py), the model is the repository's own, or `--models`. Queries are
those of the load test's log, each as often, and remembered unless `--fresh`. The table tells what every variant did,
and its ratios to the first one.
"""

import argparse
import asyncio
import itertools
import random
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvloop
from clip_like import Shop
from gateways_in_turns import Load, Measured, fill, in_turns, open_gateway, ratios
from http_connection import BenchError
from own_stack import own_stack

from vitrine.embedding.contract import ModelContract
from vitrine.settings import read_settings
from vitrine.vectorstore.index_params import Hnsw

LOG_FILE = Path(__file__).parent.parent / "queries" / "log.txt"
REMEMBERED = 64
LIMIT = 10


@dataclass(frozen=True)
class Variant:
    """One gateway: what its environment says besides, the checkout it runs from, and by which Python."""

    name: str
    environment: dict[str, str]
    python: str = sys.executable

    @classmethod
    def parse(cls, written: str) -> "Variant":
        """Raises ValueError: it is not written so."""
        head, _, folder = written.partition("@")
        name, _, settings = head.partition(":")
        environment = dict(pair.split("=", 1) for pair in settings.split(",") if pair)
        if not folder:
            return cls(name, environment)
        checkout = Path(folder).absolute()
        environment["PYTHONPATH"] = str(checkout / "services")
        own = checkout / ".venv" / "bin" / "python"
        return cls(name, environment, str(own) if own.exists() else sys.executable)


def variants_of(parser: argparse.ArgumentParser, written: Sequence[str]) -> list[Variant]:
    """Those that the command line names; ends the program when one is written otherwise."""
    try:
        return [Variant.parse(one) for one in written]
    except ValueError:
        parser.error("a variant is NAME[:VARIABLE=VALUE,...][@FOLDER]")


def table(measured: dict[str, Measured]) -> str:
    """The report for people."""
    names = list(measured)
    lines = [
        "| variant | requests/s | p50 ms | p99 ms | gateway CPU ms | engines CPU ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, one in measured.items():
        p50, p99 = np.percentile(one.latency_ms, (50, 99))
        cpu = f"{statistics.median(one.cpu_ms):.2f} | {statistics.median(one.engines_ms):.2f}"
        lines.append(f"| {name} | {statistics.median(one.per_s):.0f} | {p50:.1f} | {p99:.1f} | {cpu} |")
    lines += [
        "",
        f"| against {names[0]} (95 % interval of the median) | requests/s | gateway CPU | engines CPU |",
        "|---|---|---|---|",
    ]
    first = measured[names[0]]
    for name in names[1:]:
        one = measured[name]
        compared = (
            ratios(one.per_s, first.per_s),
            ratios(one.cpu_ms, first.cpu_ms),
            ratios(one.engines_ms, first.engines_ms),
        )
        lines.append(f"| {name} | {' | '.join(compared)} |")
    return "\n".join(lines)


def run(variants: Sequence[Variant], arguments: argparse.Namespace) -> dict[str, Measured]:
    """Starts everything, measures, ends everything.

    Raises:
        BenchError: a gateway did not start, or answered anything but 200.
    """
    with ExitStack() as stack:
        running = stack.enter_context(own_stack(arguments.models, arguments.engines))
        settings = running.settings
        shop = Shop(ModelContract.load(settings.model.repository).dimension)
        asyncio.run(fill(running, shop.pictures(arguments.rows), Hnsw(ef=arguments.ef)))
        common = {"VITRINE_CACHE__MAX_BYTES": "0"} if arguments.fresh else {}
        gateways = {
            one.name: open_gateway(one.name, settings, stack, common | one.environment, python=one.python)
            for one in variants
        }
        texts = LOG_FILE.read_text(encoding="utf-8").splitlines()  # popular ones first, which are short
        random.Random(7).shuffle(texts)
        asked = itertools.cycle(texts if arguments.fresh else texts[:REMEMBERED])
        load = Load(settings.gateway.default_collection, arguments.connections, LIMIT, arguments.slice_s)
        measured: dict[str, Measured] = uvloop.run(in_turns(gateways, running.pids, load, arguments.rounds, asked))
    return measured


def main() -> None:
    settings = read_settings()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", nargs="+")
    parser.add_argument("--rows", type=int, default=105_542)
    parser.add_argument("--ef", type=int, default=168)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--slice-s", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--fresh", action="store_true", help="texts that the gateway does not remember")
    parser.add_argument("--models", type=Path, default=settings.model.repository)
    parser.add_argument("--engines", type=Path, default=settings.local.engines_dir)
    arguments = parser.parse_args()
    try:
        print(table(run(variants_of(parser, arguments.variant), arguments)))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
