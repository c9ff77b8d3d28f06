"""Does a rolling restart of the gateway lose requests?

    python -m tests.harness.rolling_restart                        # the chart's times, two restarts of two replicas
    python -m tests.harness.rolling_restart --pre-stop 0           # what preStop is for

Starts its own Triton, Milvus and gateways on free ports of loopback and asks 50 queries a second, over kept and over
new connections, through a proxy that plays the Service of Kubernetes; meanwhile all gateways are replaced as by a
Deployment. Exit status 0 when every request was answered 200 and every old gateway ended by itself with 0, else 1.
"""

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from tests.fixtures.indexing import Indexing
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import ROOT, RunningStack, settings_on_free_ports
from tests.harness.open_loop import Asked, OpenLoop, lost, percentile
from tests.harness.rollout import PodTimes, Rollout, Stop
from tests.harness.service import Service
from tests.helm.rendering import render

CALLERS: Final = 12
PRODUCTS: Final = 200
_SETTLE_S: Final = 1.0


@dataclass(frozen=True)
class Load:
    """What is asked, and how the cluster around it is.

    Args:
        rate: requests a second.
        quiet_s: seconds of load before the first restart.
        propagation_s: see `Service`.
        seed: of everything drawn.
    """

    rate: float = 50.0
    quiet_s: float = 10.0
    propagation_s: tuple[float, float] = (1.0, 3.0)
    seed: int = 7


@dataclass(frozen=True)
class Restarted:
    """What came of it.

    Args:
        sent: requests.
        before, during: those due before the first restart began, and from then on.
        stops: of the old gateways, in their order.
        reset: connections that the Service could not place.
    """

    sent: int
    before: tuple[Asked, ...]
    during: tuple[Asked, ...]
    stops: tuple[Stop, ...]
    reset: int

    @property
    def lossless(self) -> bool:
        """Every request answered 200, and every gateway ended by itself."""
        asked = [*self.before, *self.during]
        ended = all(stop.status == 0 and not stop.killed for stop in self.stops)
        return len(asked) == self.sent and not lost(asked) and ended

    def as_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "lossless": self.lossless,
            "sent": self.sent,
            "before": _figures(self.before),
            "during": _figures(self.during),
            "lost": dict(lost([*self.before, *self.during])),
            "reset_by_service": self.reset,
            "gateways_replaced": len(self.stops),
            "killed": sum(stop.killed for stop in self.stops),
            "statuses": sorted({stop.status for stop in self.stops}),
            "longest_stop_s": round(max(stop.seconds for stop in self.stops), 1),
        }

    def print(self) -> None:
        """One table, then every kind of loss."""
        console, figures = Console(), self.as_json()
        table = Table("", "requests", "lost", "p50 ms", "p99 ms", "max ms")
        for column in table.columns[1:]:
            column.justify = "right"
        for phase in ("before", "during"):
            table.add_row(phase, *(str(value) for value in figures[phase].values()))
        console.print(table)
        for kind, count in figures["lost"].items():
            console.print(f"{count} x {kind}", style="red", highlight=False)
        console.print(
            f"{figures['gateways_replaced']} gateways replaced, {figures['killed']} killed, "
            f"longest from SIGTERM to the end {figures['longest_stop_s']} s.",
            highlight=False,
        )


async def restart_under_load(
    start: Callable[[], RunningGateway], times: PodTimes, load: Load, *, replicas: int, restarts: int
) -> Restarted:
    """Restarts all gateways so many times while requests come in through the Service.

    Args:
        start: starts the process of one more gateway.
        times: of the pods.
        load: what is asked meanwhile.
        replicas: gateways.
        restarts: how often all of them are replaced.

    Raises:
        NotRolling: a new gateway did not get ready.
    """
    rng = random.Random(load.seed)
    async with Service(rng, load.propagation_s) as service:
        rollout = Rollout(replicas, start, times, service)
        async with aclosing(rollout):
            await rollout.begin()
            loop = OpenLoop(service.url, load.rate, CALLERS, rng)
            over = asyncio.Event()
            asking = asyncio.create_task(loop.run(over))
            try:
                await asyncio.sleep(load.quiet_s)
                began = time.monotonic()
                for _ in range(restarts):
                    await rollout.restart()
                stops = await rollout.ended()
                await asyncio.sleep(_SETTLE_S)
            finally:
                over.set()
                await asking
        before = tuple(one for one in loop.asked if one.at < began)
        during = tuple(one for one in loop.asked if one.at >= began)
        return Restarted(loop.sent, before, during, tuple(stops), service.reset)


def _figures(asked: Iterable[Asked]) -> dict[str, float]:
    those = list(asked)
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "max_ms": 1.0}
    return {
        "requests": len(those),
        "lost": sum(one.lost for one in those),
        **{name: round(percentile(those, share), 1) for name, share in shares.items()},
    }


def _run(folder: Path, arguments: argparse.Namespace) -> Restarted:
    """Everything of its own, below `folder`."""
    (folder / "stack").mkdir()
    stack = RunningStack(settings_on_free_ports(folder / "stack", arguments.models), folder / "stack")
    shop = Shop(folder / "shop")
    for product in product_ids(PRODUCTS):
        shop.add(product)
    times = PodTimes.of(render(arguments.example))
    if arguments.pre_stop is not None:
        times = times.stopping_after(arguments.pre_stop)
    logs = (folder / f"gateway-{number}.log" for number in range(1_000_000))
    try:
        stack.start()
        Indexing(stack.settings, folder / "indexing").index(shop.write(), "products")
        return asyncio.run(
            restart_under_load(
                lambda: RunningGateway(stack.settings, next(logs), drain_s=times.drain_s),
                times,
                Load(arguments.rate, arguments.quiet, tuple(arguments.propagation), arguments.seed),
                replicas=arguments.replicas,
                restarts=arguments.restarts,
            )
        )
    finally:
        stack.stop()


def main() -> int:
    """Returns the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    folder = Path(tempfile.mkdtemp(prefix="vitrine-rolling-"))
    try:
        restarted = _run(folder, arguments)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    restarted.print()
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(restarted.as_json(), indent=2) + "\n", encoding="utf-8")
    return 0 if restarted.lossless else 1


def _arguments() -> argparse.Namespace:
    load = Load()
    parser = argparse.ArgumentParser(description="Replace all gateways under load and count what is lost.")
    parser.add_argument("--rate", type=float, default=load.rate, help="requests a second")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--restarts", type=int, default=2, help="how often all replicas are replaced")
    parser.add_argument("--quiet", type=float, default=load.quiet_s, help="seconds of load before the first restart")
    parser.add_argument("--pre-stop", type=float, default=None, help="seconds, instead of the chart's")
    parser.add_argument(
        "--propagation", type=float, nargs=2, default=load.propagation_s, help="seconds, least and most", metavar="S"
    )
    parser.add_argument("--example", default="dev", help="values of the chart whose times are taken")
    parser.add_argument("--seed", type=int, default=load.seed)
    parser.add_argument("--models", type=Path, default=ROOT / "model_repository", help="model repository to serve")
    parser.add_argument("--json", type=Path, default=None, help="write the result there")
    parser.add_argument("--keep", action="store_true", help="leave logs and data behind")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
