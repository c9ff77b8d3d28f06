"""Composition root of the verbs that decide what readers see: opens Milvus and the model, and asks once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from vitrine.embedding.encoder import open_encoder
from vitrine.indexer.target import require_alias
from vitrine.promotion.family import Member, members
from vitrine.promotion.gates import GateLimits, Measured, failed, judge
from vitrine.promotion.moves import Moved, Pair, choose, drop, promote, roll_back, to_retire
from vitrine.promotion.trying import Clients, Sampling, served_model, take_stock, try_out
from vitrine.settings import Settings
from vitrine.vectorstore.admin import CollectionAdmin, Progress
from vitrine.vectorstore.collection import CollectionInfo
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.lineage import GateRecord
from vitrine.vectorstore.searcher import VectorSearcher


@dataclass(frozen=True, slots=True)
class PromoteRequest:
    """What `vitrine promote` shall do.

    Args:
        alias: readers' name.
        name: the candidate; None: the newest.
        limits: of the gates.
        sampling: of the searches it is tried with.
        force: go ahead although gates fail.
        dry_run: judge only.
    """

    alias: str
    name: str | None = None
    limits: GateLimits = field(default_factory=GateLimits)
    sampling: Sampling = field(default_factory=Sampling)
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of it.

    Args:
        pair: what was compared.
        gates: what each said.
        queries: what the searches were, for people.
        moved: None when the alias was left where it was.
    """

    alias: str
    pair: Pair
    gates: tuple[GateRecord, ...]
    queries: str
    moved: Moved | None

    @property
    def failed(self) -> list[GateRecord]:
        """Gates that said no."""
        return failed(self.gates)


async def run_promote(request: PromoteRequest, settings: Settings, on_progress: Progress) -> Promotion:
    """Compares a candidate with the live collection and, when every gate lets it, moves the alias to it.

    A refusal comes back in the answer, with every figure.

    Raises:
        VitrineError: the candidate could not be compared at all, or the alias not be moved; nothing was changed.
    """
    require_alias(request.alias)
    request.limits.check()
    async with _open_clients(settings) as clients:
        admin = clients.admin
        pair = await choose(admin, request.alias, request.name)
        served = await served_model(clients.encoder)
        standing = await take_stock(admin, pair.candidate, pair.live, on_progress)
        measured = Measured(why="its index is not ready")
        if not isinstance(standing.indexed, str):
            wanted = request.limits.min_recall > 0
            measured = await try_out(
                clients, standing, served, request.sampling, recall=wanted, on_progress=on_progress
            )
        gates = judge(standing, served, measured, request.limits)
        moved = None
        if not request.dry_run and (request.force or not failed(gates)):
            moved = await promote(admin, request.alias, pair, gates, forced=bool(failed(gates)))
        return Promotion(request.alias, pair, gates, measured.queries, moved)


async def run_rollback(alias: str, settings: Settings, on_progress: Progress, *, force: bool) -> Moved:
    """Points the alias at what its collection replaced.

    Args:
        force: whatever model is served; neither the model repository nor Triton is asked.

    Raises:
        VitrineError: see `roll_back`; the alias was not moved.
    """
    require_alias(alias)
    served = None
    if not force:
        async with open_encoder(settings) as encoder:
            served = await served_model(encoder)
    async with await MilvusConnection.open(settings.milvus) as connection:
        return await roll_back(CollectionAdmin(connection), alias, served, on_progress=on_progress)


async def find_retired(name_or_alias: str, settings: Settings, *, keep: int, everything: bool) -> list[CollectionInfo]:
    """What `run_retire` would drop. Raises as `to_retire`."""
    async with await MilvusConnection.open(settings.milvus) as connection:
        return await to_retire(CollectionAdmin(connection), name_or_alias, keep=keep, everything=everything)


async def run_retire(infos: list[CollectionInfo], settings: Settings) -> None:
    """Drops collections, one after the other.

    Raises:
        InvalidInput: an alias points at one by now.
        VectorStoreUnavailable, DeadlineExceeded
    """
    async with await MilvusConnection.open(settings.milvus) as connection:
        for info in infos:
            await drop(CollectionAdmin(connection), info)


async def list_members(settings: Settings) -> list[Member]:
    """Every collection with its alias and state; rows are counted where they can be.

    Raises:
        VectorStoreUnavailable, DeadlineExceeded
    """
    async with await MilvusConnection.open(settings.milvus) as connection:
        return members(await CollectionAdmin(connection).list())


@asynccontextmanager
async def _open_clients(settings: Settings) -> AsyncIterator[Clients]:
    async with open_encoder(settings) as encoder, await MilvusConnection.open(settings.milvus) as connection:
        yield Clients(CollectionAdmin(connection), VectorSearcher(connection), encoder, settings.milvus.admin_timeout_s)
