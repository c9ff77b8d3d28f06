"""Everything that a run measures, as processes: one Milvus; for each precision a Triton and two gateways."""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtest.bench.http_connection import BenchError
from loadtest.bench.local_milvus import LocalMilvus
from loadtest.bench.own_stack import all_ready
from loadtest.bench.serving.collections import served
from vitrine.local.engines import Engines
from vitrine.local.gateway import GatewayService
from vitrine.local.ports import choose_free
from vitrine.local.service import answers_ok
from vitrine.local.triton import TritonService
from vitrine.settings import (
    CacheSettings,
    CanarySettings,
    GatewaySettings,
    LocalSettings,
    MilvusSettings,
    ModelSettings,
    Settings,
)

MILVUS: Final = "milvus"
CACHES: Final = ("uncached", "cached")
READY_S: Final = 60.0


def triton_name(precision: str) -> str:
    """Of the Triton process of a precision."""
    return f"triton {precision}"


def gateway_name(precision: str, cache: str) -> str:
    """Of a gateway process."""
    return f"gateway {precision} {cache}"


@dataclass(frozen=True)
class Running:
    """What runs.

    Args:
        pids: by the process's name.
        triton: gRPC targets by precision.
        gateways: addresses by the process's name.
    """

    pids: Mapping[str, int]
    triton: Mapping[str, str]
    gateways: Mapping[str, str]


@contextmanager
def triton_running(repository: Path, engines_dir: Path, folder: Path) -> Iterator[tuple[LocalSettings, int]]:
    """One Triton, ready; the settings with its ports, and its process id."""
    http, grpc, metrics = choose_free(3)
    local = LocalSettings(
        state_dir=folder,
        engines_dir=engines_dir.absolute(),
        triton_http_port=http,
        triton_grpc_port=grpc,
        triton_metrics_port=metrics,
    )
    folder.mkdir(parents=True, exist_ok=True)
    service = TritonService(local, Engines.locate(local.engines_dir), repository.absolute(), folder / "triton")
    with all_ready([service], folder) as pids:
        yield local, pids[service.name]


@contextmanager
def serving(
    repositories: Mapping[str, Path], engines_dir: Path, milvus: LocalMilvus, folder: Path
) -> Iterator[Running]:
    """Tritons and gateways beside a running Milvus that has the collections loaded; all answer searches."""
    with ExitStack() as stack:
        pids, targets, gateways = {MILVUS: milvus.pid}, dict[str, str](), dict[str, str]()
        for precision, repository in repositories.items():
            own = folder / precision
            local, pid = stack.enter_context(triton_running(repository, engines_dir, own))
            pids[triton_name(precision)] = pid
            targets[precision] = f"127.0.0.1:{local.triton_grpc_port}"
            for cache in CACHES:
                name = gateway_name(precision, cache)
                service = GatewayService(_settings(local, milvus, repository, precision, cache), own / cache)
                (own / cache).mkdir(exist_ok=True)
                pids[name] = stack.enter_context(all_ready([service], own / cache))[service.name]
                gateways[name] = service.address
        for name, address in gateways.items():
            _wait_ready(name, int(address.rpartition(":")[2]))
        yield Running(pids, targets, gateways)


def _settings(local: LocalSettings, milvus: LocalMilvus, repository: Path, precision: str, cache: str) -> Settings:
    """As shipped, but for the cache and for the canary, which would search at times of its own."""
    (port,) = choose_free(1)
    at_milvus = local.model_copy(update={"milvus_port": int(milvus.uri.rpartition(":")[2])})
    return Settings(
        local=at_milvus,
        model=ModelSettings(repository=repository.absolute()),
        gateway=GatewaySettings(port=port, default_collection=served(precision)),
        milvus=MilvusSettings(uri=milvus.uri),
        cache=CacheSettings(max_bytes=0) if cache == "uncached" else CacheSettings(),
        canary=CanarySettings(interval_s=0.0),
    )


def _wait_ready(name: str, port: int) -> None:
    """It lives; now its collection, its Milvus and its Triton must be there too."""
    deadline = time.monotonic() + READY_S
    while not answers_ok(port, "/readyz", timeout_s=5.0):
        if time.monotonic() > deadline:
            raise BenchError(f"The {name} did not become ready within {READY_S:g} s.")
        time.sleep(0.1)
