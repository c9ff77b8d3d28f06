"""What does the way to Triton cost a lone text? The same question by four ways, in turns.

    python -m loadtest.bench.ways_to_triton REPOSITORY [--rounds 300]

REPOSITORY is what `vitrine model export` wrote. Ways: tritonclient's gRPC client and its HTTP client (aiohttp); the
gateway's, which also checks what it is given; and HTTP by a connection that knows this one request. Warm: each way is
asked twice in a row, and the second time counts. Cold: between two questions 48 MB are written, as what runs between
the requests of a lone caller pushes them out of the processor's caches. Times are medians; processor time is this
process's own.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import uvloop
from tritonclient.grpc import aio as by_grpc
from tritonclient.http import aio as by_http

from loadtest.bench.http_connection import Connection
from loadtest.bench.serving.stack import triton_running
from vitrine.domain import Deadline
from vitrine.embedding.contract import TEXT_MODEL, ModelContract
from vitrine.embedding.tokenizer import Tokenizer, pad_to_bucket
from vitrine.embedding.triton import OUTPUT, TritonClient
from vitrine.settings import LocalSettings, TritonSettings, read_settings

TEXT: Final = "red floral dress"
TIMEOUT_S: Final = 10.0
SWEPT_BYTES: Final = 48 * 1024 * 1024
INPUT: Final = "input_ids"

Way: TypeAlias = Callable[[], Awaitable[npt.NDArray[np.float32]]]


@dataclass
class Taken:
    """Seconds of each call of one way.

    Args:
        wall: until the vector was there.
        own: processor time of this process meanwhile.
    """

    wall: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)


async def grpc_client(address: str, ids: npt.NDArray[np.int32], stack: AsyncExitStack) -> Way:
    """tritonclient's own client of gRPC."""
    client = by_grpc.InferenceServerClient(address)
    stack.push_async_callback(client.close)

    async def ask() -> npt.NDArray[np.float32]:
        tensor = by_grpc.InferInput(INPUT, list(ids.shape), "INT32")
        tensor.set_data_from_numpy(ids)
        found = (await client.infer(TEXT_MODEL, [tensor], client_timeout=TIMEOUT_S)).as_numpy(OUTPUT)
        return np.asarray(found, np.float32)

    return ask


async def http_client(address: str, ids: npt.NDArray[np.int32], stack: AsyncExitStack) -> Way:
    """tritonclient's own client of HTTP."""
    client = by_http.InferenceServerClient(address, conn_timeout=TIMEOUT_S)
    stack.push_async_callback(client.close)

    async def ask() -> npt.NDArray[np.float32]:
        tensor = by_http.InferInput(INPUT, list(ids.shape), "INT32")
        tensor.set_data_from_numpy(ids)
        found = (await client.infer(TEXT_MODEL, [tensor])).as_numpy(OUTPUT)
        return np.asarray(found, np.float32)

    return ask


async def gateways_own(address: str, ids: npt.NDArray[np.int32], stack: AsyncExitStack) -> Way:
    """The gateway's client."""
    client = TritonClient(TritonSettings(url=f"http://{address}"))
    stack.push_async_callback(client.close)

    async def ask() -> npt.NDArray[np.float32]:
        return await client.infer_text(ids, Deadline.after(TIMEOUT_S))

    return ask


async def bare_http(address: str, ids: npt.NDArray[np.int32], stack: AsyncExitStack) -> Way:
    """Triton's HTTP, its tensors in binary, on one kept connection."""
    told = {
        "inputs": [
            {
                "name": INPUT,
                "shape": ids.shape,
                "datatype": "INT32",
                "parameters": {"binary_data_size": ids.nbytes},
            }
        ],
        "outputs": [{"name": OUTPUT, "parameters": {"binary_data": True}}],
    }
    described = json.dumps(told).encode()
    head = (
        f"POST /v2/models/{TEXT_MODEL}/infer HTTP/1.1\r\nHost: {address}\r\n"
        f"Inference-Header-Content-Length: {len(described)}\r\nContent-Length: {len(described) + ids.nbytes}\r\n\r\n"
    ).encode()
    connection = await Connection.open(f"http://{address}")
    stack.callback(connection.close)

    async def ask() -> npt.NDArray[np.float32]:
        answer = await connection.exchange(head + described + ids.tobytes())
        return np.frombuffer(answer.body, "<f4", offset=int(answer.headers[b"inference-header-content-length"]))

    return ask


async def in_turns(ways: dict[str, Way], rounds: int, *, cold: bool) -> dict[str, Taken]:
    """Asks each way once a round, in another order each time."""
    taken = {name: Taken() for name in ways}
    draw, swept, names = np.random.default_rng(0), np.ones(SWEPT_BYTES // 4, np.float32), list(ways)
    for _ in range(rounds):
        for name in draw.permutation(names):
            if cold:
                np.negative(swept, out=swept)
            else:
                await ways[name]()
            own, began = time.process_time(), time.perf_counter()
            await ways[name]()
            taken[name].wall.append(time.perf_counter() - began)
            taken[name].own.append(time.process_time() - own)
    return taken


async def measure(local: LocalSettings, ids: npt.NDArray[np.int32], rounds: int) -> str:
    """The report for people.

    Raises:
        SystemExit: two ways gave different vectors.
    """
    grpc, http = (f"127.0.0.1:{port}" for port in (local.triton_grpc_port, local.triton_http_port))
    async with AsyncExitStack() as stack:
        ways = {
            "tritonclient, gRPC": await grpc_client(grpc, ids, stack),
            "tritonclient, HTTP": await http_client(http, ids, stack),
            "the gateway's": await gateways_own(http, ids, stack),
            "bare HTTP": await bare_http(http, ids, stack),
        }
        vectors = [(await ask()).ravel() for ask in ways.values()]
        if not all(np.array_equal(vectors[0], other) for other in vectors[1:]):
            raise SystemExit("The ways do not lead to the same vector.")
        await in_turns(ways, 20, cold=False)
        warm = await in_turns(ways, rounds, cold=False)
        cold = await in_turns(ways, rounds, cold=True)
    lines = ["| way | warm, ms | own, ms | cold, ms | own, ms |", "|---|---:|---:|---:|---:|"]
    for name in ways:
        figures = (warm[name].wall, warm[name].own, cold[name].wall, cold[name].own)
        lines.append(f"| {name} | " + " | ".join(f"{np.median(one) * 1e3:.2f}" for one in figures) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--rounds", type=int, default=300)
    arguments = parser.parse_args()
    tokenizer = Tokenizer.load(arguments.repository, ModelContract.load(arguments.repository))
    ids = pad_to_bucket(tokenizer.encode([TEXT]), tokenizer.buckets)[0].ids
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder,
        triton_running(arguments.repository, read_settings().local.engines_dir, Path(folder)) as (local, _),
    ):
        sys.stdout.write(uvloop.run(measure(local, ids, arguments.rounds)) + "\n")


if __name__ == "__main__":
    main()
