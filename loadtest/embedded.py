"""A stack of the load test's own: Triton, Milvus and the gateway on free ports of loopback, beside whatever else runs.

Its data stay in the state folder, under `loadtest`, so that the next run has nothing to index.
"""

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from vitrine.demo.catalogue import write_catalogue
from vitrine.demo.design import DEFAULT_COUNT, DEFAULT_SEED
from vitrine.embedding.contract import ModelContract
from vitrine.indexer.display import open_display
from vitrine.indexer.job import IndexRequest, run_index
from vitrine.local.commands import Terminal
from vitrine.local.gateway import meeting_the_stack
from vitrine.local.ports import choose_free
from vitrine.local.stack import Stack
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.collection import CollectionSpec
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.index_params import parse_index

COLLECTION: Final = "products"
_FOLDER: Final = "loadtest"
_MOST_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class Target:
    """What is loaded: the gateway's address, and an empty collection to write to."""

    host: str
    scratch: str


@contextmanager
def embedded_stack(settings: Settings, console: Console) -> Iterator[Target]:
    """The demo catalogue behind a gateway, ready; stopped at the end, the scratch collection gone.

    Raises:
        VitrineError: the stack does not start, or the catalogue cannot be indexed.
    """
    catalogue = settings.local.demo_catalogue.absolute()
    own = _on_free_ports(settings)
    stack = Stack(own)
    terminal = Terminal(own)
    _draw(catalogue, console)
    try:
        stack.up(report=terminal.show, note=terminal.note)
    finally:
        terminal.close()
    try:
        with open_display(console) as display:
            summary = asyncio.run(run_index(IndexRequest(COLLECTION, catalogue=catalogue), own, display))
        if summary.failure is not None:
            raise summary.failure
        scratch = f"loadtest_{secrets.token_hex(4)}"
        asyncio.run(_make(own, scratch))
        try:
            yield Target(f"http://127.0.0.1:{own.gateway.port}", scratch)
        finally:
            asyncio.run(_drop(own, scratch))
    finally:
        stack.down(note=terminal.note)


def _draw(catalogue: Path, console: Console) -> None:
    """What `vitrine demo` draws, in its place: whichever of the two comes second finds it done."""
    with console.status("Drawing the demo catalogue") as status:
        write_catalogue(
            catalogue,
            count=DEFAULT_COUNT,
            seed=DEFAULT_SEED,
            workers=min(os.cpu_count() or 1, _MOST_WORKERS),
            on_progress=lambda done, total: status.update(f"Drawing the demo catalogue: {done} of {total}"),
        )


def _on_free_ports(settings: Settings) -> Settings:
    http, grpc, metrics, milvus, milvus_metrics, etcd, gateway = choose_free(7)
    local = settings.local.model_copy(
        update={
            "state_dir": settings.local.state_dir / _FOLDER,
            "prometheus": "",
            "triton_http_port": http,
            "triton_grpc_port": grpc,
            "triton_metrics_port": metrics,
            "milvus_port": milvus,
            "milvus_metrics_port": milvus_metrics,
            "etcd_port": etcd,
        }
    )
    return meeting_the_stack(
        settings.model_copy(
            update={
                "local": local,
                "gateway": settings.gateway.model_copy(
                    update={"host": "127.0.0.1", "port": gateway, "default_collection": COLLECTION}
                ),
                # Its queries would be among those that are measured.
                "canary": type(settings.canary)(interval_s=0.0),
            }
        )
    )


async def _make(settings: Settings, name: str) -> None:
    contract = ModelContract.load(settings.model.repository)
    spec = CollectionSpec(name, contract.dimension, (), parse_index("hnsw", {}), contract.fingerprint, contract.model)
    async with await MilvusConnection.open(settings.milvus) as connection:
        await CollectionAdmin(connection).create(spec)


async def _drop(settings: Settings, name: str) -> None:
    async with await MilvusConnection.open(settings.milvus) as connection:
        await CollectionAdmin(connection).drop(name)
