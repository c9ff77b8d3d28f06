"""The parts of a run, in their order, over a stack that is up."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from pymilvus import AsyncMilvusClient
from tritonclient.grpc.aio import InferenceServerClient

from loadtest.bench.local_milvus import LocalMilvus
from loadtest.bench.serving.caching import cache_counts, share_of_hits
from loadtest.bench.serving.collections import served
from loadtest.bench.serving.cost_model import ClusterNeed, Costs, cluster_need, costs_of
from loadtest.bench.serving.figures import Figures, Single, loaded_of, other_cores, single_of
from loadtest.bench.serving.growth import grown
from loadtest.bench.serving.in_turns import Calls, call_in_turns
from loadtest.bench.serving.loading import Tuned, agreement
from loadtest.bench.serving.machine import CORES
from loadtest.bench.serving.open_loop import Callers
from loadtest.bench.serving.overload import overload
from loadtest.bench.serving.preparing import Prepared
from loadtest.bench.serving.processes import GENERATOR, Processes
from loadtest.bench.serving.recall import TIMED, recalls
from loadtest.bench.serving.recipe import RecipeProcess, recipe_running, recipe_system
from loadtest.bench.serving.sizes import PRECISIONS, Size
from loadtest.bench.serving.stack import CACHES, MILVUS, Running, gateway_name, triton_name
from loadtest.bench.serving.step_load import steps_of_load
from loadtest.bench.serving.systems import (
    RECIPE,
    Rows,
    System,
    gateway,
    gateway_system,
    milvus_system,
    own_call_system,
    search_path,
    tokens_of,
    triton_system,
)
from loadtest.bench.serving.texts import log_of
from loadtest.bench.serving.under_load import Slice, load_in_turns, rows_of
from loadtest.bench.serving.verdicts import best_rate
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.connection import MilvusConnection

LOG_LENGTH: Final = 400_000
"""Queries of the log; a run asks fewer."""
IDLE_S: Final = 5.0
QPS: Final = (1_000, 5_000)


class Bench:
    """One run.

    Args:
        prepared: what was built.
        size: how long each part takes.
        tuned: the loaded collections.
        running: processes.
        milvus: of them.
        tell: is told how far it is.
    """

    def __init__(
        self,
        prepared: Prepared,
        size: Size,
        tuned: Tuned,
        running: Running,
        milvus: LocalMilvus,
        tell: Callable[[str], None],
    ) -> None:
        self._prepared = prepared
        self._size = size
        self._tuned = tuned
        self._running = running
        self._milvus = milvus
        self._tell = tell
        draw = np.random.default_rng(7)
        self._uncached_rows: Rows = draw.permutation(size.texts)
        logged = len(prepared.texts) - size.texts
        self._log_rows: Rows = size.texts + log_of(logged, LOG_LENGTH)

    async def run(self, python: Path) -> Figures:
        """All parts, one after the other."""
        log = self._prepared.folder / "recipe.log"
        checkpoint = self._prepared.models.checkpoint
        async with (
            recipe_running(python, checkpoint, self._milvus.uri, log) as recipe,
            self._systems(recipe) as systems,
        ):
            processes = Processes({**self._running.pids, RECIPE: recipe.pid})
            figures = await self._begun(processes)
            await self._one_at_a_time(systems, figures)
            slices = await self._loaded(systems, processes, figures)
            figures.memory = processes.memory()
            for precision in PRECISIONS:
                await self._costs(precision, slices, processes, figures)
            await self._overloaded(figures)
            if self._prepared.larger is not None:
                figures.growth = await grown(
                    self._prepared, self._size, self._tuned, self._running, self._milvus, self._tell
                )
        return figures

    @asynccontextmanager
    async def _systems(self, recipe: RecipeProcess) -> AsyncIterator[list[System]]:
        prepared, rows = self._prepared, self._uncached_rows
        first = PRECISIONS[0]
        async with AsyncExitStack() as stack:
            client = AsyncMilvusClient(uri=self._milvus.uri)
            stack.push_async_callback(client.close)
            connection = await stack.enter_async_context(
                await MilvusConnection.open(MilvusSettings(uri=self._milvus.uri))
            )
            collection, vectors = self._tuned.collections[first], prepared.vectors[first][TIMED]
            judged = rows[rows < self._size.judged]
            systems = [
                recipe_system(recipe, prepared.texts, rows),
                milvus_system(client, collection, vectors, judged),
                own_call_system(connection, collection, vectors, judged),
            ]
            for precision in PRECISIONS:
                triton = InferenceServerClient(self._running.triton[precision])
                stack.push_async_callback(triton.close)
                repository = prepared.models.repository(precision)
                tokens = tokens_of(repository, prepared.contracts[precision], prepared.texts[: self._size.texts])
                systems.append(triton_system(precision, triton, tokens, rows))
                for cache in CACHES:
                    url = self._running.gateways[gateway_name(precision, cache)]
                    asked = rows if cache == "uncached" else self._log_rows
                    systems.append(gateway_system(precision, cache, url, prepared.texts, asked))
            yield systems

    async def _begun(self, processes: Processes) -> Figures:
        """What is known before any load."""
        with processes.counting() as spent:
            await asyncio.sleep(min(IDLE_S, self._size.slice_s))
        return Figures(
            machine={},
            size=asdict(self._size),
            ef=self._tuned.ef,
            recall=self._tuned.recall,
            agreement=agreement(
                {precision: kinds[TIMED] for precision, kinds in self._prepared.vectors.items()}, self._tuned.truths
            ),
            idle_cores={name: seconds / spent.elapsed_s for name, seconds in spent.cpu_s.items()},
            milvus_memory_mb=self._tuned.memory_mb,
        )

    async def _one_at_a_time(self, systems: Sequence[System], figures: Figures) -> None:
        """Short texts, of which the log has few: the caches remember little of it before it is asked."""
        rows = np.arange(self._size.rounds)
        self._tell(f"One call at a time, {self._size.rounds} of each of {len(systems)} systems in turns")
        found = await call_in_turns(systems, rows)
        figures.single = [self._single(system, found[system.name], rows) for system in systems]
        embed, search = np.median([(one["embed_s"], one["search_s"]) for one in found[RECIPE].answers], axis=0)
        figures.recipe_ms = {"embed": float(embed) * 1000, "search": float(search) * 1000}

    def _single(self, system: System, calls: Calls, rows: Rows) -> Single:
        if system.ids_in is None:
            return single_of(system.name, calls, None, None)
        ids = [system.ids_in(answer) for answer in calls.answers]
        own = system.precision or PRECISIONS[0]
        told = [float(recalls(self._tuned.truths[one], rows.tolist(), ids).mean()) for one in (own, PRECISIONS[0])]
        return single_of(system.name, calls, *told)

    async def _loaded(
        self, systems: Sequence[System], processes: Processes, figures: Figures
    ) -> Mapping[str, list[Slice]]:
        size, asked = self._size, rows_of(systems)
        before = {name: await cache_counts(url) for name, url in self._running.gateways.items()}
        gateways = [system for system in systems if system.name.startswith("gateway")]
        levels = [(callers, systems) for callers in size.levels]
        levels += [(callers, gateways) for callers in size.further_levels]
        levels.sort(key=lambda level: level[0])
        slices = await load_in_turns(levels, size.slices, size.slice_s, processes, asked, self._tell)
        figures.other_cores = other_cores([one for own in slices.values() for one in own])
        figures.loaded = [one for name, own in slices.items() if own for one in loaded_of(name, own)]
        for precision in PRECISIONS:
            name = gateway_name(precision, "cached")
            after = await cache_counts(self._running.gateways[name])
            figures.hit_share[gateway(precision, "cached")] = share_of_hits(before[name], after)
        return slices

    async def _costs(
        self, precision: str, slices: Mapping[str, list[Slice]], processes: Processes, figures: Figures
    ) -> None:
        """The model of cost of a precision, what follows from it, and a step load to hold it against."""
        name = gateway(precision, "uncached")
        measured = figures.loaded_of(name)
        best = best_rate(measured) or max(measured, key=lambda one: one.per_s)
        process_of = {
            "gateway": gateway_name(precision, "uncached"),
            "triton": triton_name(precision),
            "milvus": MILVUS,
            "generator": GENERATOR,
        }
        chosen = [one for one in slices[name] if one.callers == best.callers]
        costs = costs_of(name, chosen, process_of, figures.idle_cores)
        figures.costs.append(costs)
        figures.needs[precision] = self._needs(costs, figures.hit_share[gateway(precision, "cached")])
        self._tell(f"Steps of load, {precision}, on a model that saturates at {costs.saturating_rate(CORES):.0f}/s")
        callers = self._callers(precision)
        try:
            figures.steps[precision] = await steps_of_load(
                callers, costs, process_of, processes, CORES, self._size.step_s
            )
        finally:
            callers.close()

    def _needs(self, costs: Costs, hit_share: float) -> list[ClusterNeed]:
        return [cluster_need(costs, qps, share) for qps in QPS for share in (0.0, hit_share)]

    async def _overloaded(self, figures: Figures) -> None:
        """Of the reduced precision: there are the most arrivals to refuse."""
        precision = PRECISIONS[-1]
        peak = max(one.per_s for one in figures.loaded_of(gateway(precision, "uncached")))
        self._tell(f"Overload, three times {peak:.0f}/s for {self._size.overload_s:g} s")
        callers = self._callers(precision)
        try:
            figures.overload = await overload(callers, precision, peak, self._size.overload_s)
        finally:
            callers.close()

    def _callers(self, precision: str) -> Callers:
        texts = (self._prepared.texts[row] for row in itertools.cycle(self._uncached_rows.tolist()))
        url = self._running.gateways[gateway_name(precision, "uncached")]
        return Callers(url, search_path(served(precision)), texts)
