"""What does a refusal cost a gateway whose permits are all in use? Its variants are asked in turns, without engines.

    python loadtest/bench/refusal_cost.py now before@../vitrine-before [--rate 1000] [--rounds 5] [--slice-s 3]

A variant is written as for gateway_variants.py. Each has one permit, which a request holds whose body does not come;
all others are refused, so many a second as `--rate` says: what a process does now and then costs more than what it does
without a pause. The table tells microseconds of processor time for each refusal, the median of the rounds.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from gateway_variants import Variant, variants_of
from gateways_in_turns import Gateway, await_answer, process, ratios
from http_connection import BenchError, Connection
from own_stack import cpu_seconds

from vitrine.local.ports import choose_free

PATH = "/v1/collections/products/search"
BODY = {"query": "red floral dress", "limit": 10}
CONNECTIONS = 32
REFUSED = 503
WARM_S = 1.0


def open_gateway(variant: Variant, folder: Path, stack: ExitStack) -> Gateway:
    """Starts one that waits for its engines in vain; it listens, and ends with `stack`.

    Raises:
        BenchError: it does not listen in time; with its log.
    """
    (port,) = choose_free(1)
    own = {
        "VITRINE_GATEWAY__PORT": str(port),
        "VITRINE_GATEWAY__MAX_IN_FLIGHT": "1",
        "VITRINE_TRITON__URL": "http://127.0.0.1:9",
        "VITRINE_MILVUS__URI": "http://127.0.0.1:9",
    }
    log = folder / f"{variant.name}.log"
    pid = stack.enter_context(
        process("-m", "vitrine.gateway", log=log, python=variant.python, **(own | variant.environment))
    )
    url = f"http://127.0.0.1:{port}"
    await_answer(f"{url}/livez", log)
    return Gateway(url, pid)


async def refused(url: str, rate: float, seconds: float) -> int:
    """Asks at a rate while the permit is held, which is given back at the end; how many were refused.

    Raises:
        BenchError: an answer was no refusal.
    """
    holding = await Connection.open(url)
    held = asyncio.create_task(holding.exchange(holding.request("POST", PATH, BODY)[:-1]))
    await asyncio.sleep(0.1)
    began, pause = time.perf_counter(), CONNECTIONS / rate

    async def caller(number: int) -> int:
        connection = await Connection.open(url)
        request, count, due = connection.request("POST", PATH, BODY), 0, began + pause * number / CONNECTIONS
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if (answer := await connection.exchange(request)).status != REFUSED:
                raise BenchError(f"The gateway answered {answer.status}: {answer.body[:300].decode()}")
            count, due = count + 1, due + pause
        connection.close()
        return count

    try:
        return sum(await asyncio.gather(*map(caller, range(CONNECTIONS))))
    finally:
        held.cancel()
        holding.close()


async def in_turns(gateways: dict[str, Gateway], arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Microseconds for each refusal, by variant and round."""
    found: dict[str, list[float]] = {name: [] for name in gateways}
    names = list(gateways)
    for gateway in gateways.values():
        await refused(gateway.url, arguments.rate, WARM_S)
    for number in range(arguments.rounds):
        for step in range(len(names)):
            name = names[(number + step) % len(names)]
            before = cpu_seconds(gateways[name].pid)
            count = await refused(gateways[name].url, arguments.rate, arguments.slice_s)
            found[name].append((cpu_seconds(gateways[name].pid) - before) / count * 1e6)
    return found


def table(found: dict[str, list[float]]) -> str:
    """The report for people."""
    first = next(iter(found))
    lines = [f"| variant | microseconds a refusal | against {first} (95 % interval of the median) |", "|---|---:|---|"]
    for name, costs in found.items():
        compared = "" if name == first else ratios(costs, found[first])
        lines.append(f"| {name} | {statistics.median(costs):.0f} | {compared} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("variant", nargs="+")
    parser.add_argument("--rate", type=float, default=1_000.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slice-s", type=float, default=3.0)
    arguments = parser.parse_args()
    variants = variants_of(parser, arguments.variant)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vitrine-bench-")))
            gateways = {one.name: open_gateway(one, folder, stack) for one in variants}
            print(table(uvloop.run(in_turns(gateways, arguments))))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
