"""Does an index converge to exactly its catalogue, whatever is killed meanwhile?

    python -m tests.harness.converge --rows 105542 --kills 0               # each planted defect is accounted for
    python -m tests.harness.converge --rows 10000 --kills 20 --seed 7      # and after 20 times kill -9

Starts its own Triton and Milvus on free ports, plants a catalogue, indexes it, kills, indexes on until a run ends well,
runs once more (which must write nothing), then compares what Milvus holds with what was planted. Exit status 0 when
nothing differs, 1 when something does, 2 when it ran out of time.
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
from pathlib import Path

from tests.fixtures.indexing import Shelf
from tests.fixtures.stack import ROOT, RunningStack, settings_on_free_ports
from tests.harness.accounting import (
    differences_in_ids,
    differences_in_products,
    differences_in_rejects,
    differences_in_summary,
)
from tests.harness.chaos import Chaos, NotConverging, OutOfTime
from tests.harness.convergence import Convergence
from tests.harness.index_run import IndexRun
from tests.harness.planted import PlantedCatalogue, plant
from vitrine.settings import IndexerSettings, Settings
from vitrine.vectorstore.admin import CollectionAdmin
from vitrine.vectorstore.connection import MilvusConnection

ALIAS = "planted"
SMALL_UPSERTS_BYTES = 256 * 1024  # while kills come, there must be many moments between two acknowledgements
STATUS_OUT_OF_TIME = 2
SETTLING_S = 120.0
_POLL_S = 0.5


class Convergent:
    """Indexes one planted catalogue into one stack.

    Args:
        stack: both engines, running.
        catalogue: what to index.
        folder: for ledger and logs.
        alias: of the collection.
        seed: of the kills' moments and of the sample.
        deadline: of time.monotonic().
    """

    def __init__(
        self, stack: RunningStack, catalogue: PlantedCatalogue, folder: Path, alias: str, seed: int, deadline: float
    ) -> None:
        self._stack = stack
        self._catalogue = catalogue
        self._folder = folder
        self._alias = alias
        self._rng = random.Random(seed)
        self._deadline = deadline
        self._started = 0

    def go(self, kills: int, *, sample: int) -> Convergence:
        """Index, kill, index to the end, index once more, compare.

        Args:
            kills: how many.
            sample: products whose vector and title are compared.

        Raises:
            OutOfTime, NotConverging: see there.
        """
        account = self._catalogue.account
        upserts = SMALL_UPSERTS_BYTES if kills else None
        chaos = Chaos(
            self._stack,
            lambda again: self._start(upserts, reindex=again),
            expected=len(account.written),
            deadline=self._deadline,
            rng=self._rng,
            say=say,
        )
        began = time.monotonic()
        last = chaos.go(kills)
        seconds = time.monotonic() - began
        was_killed = any(kill.victim == "milvus" for kill in chaos.kills)
        differences = [
            *differences_in_summary(account, last.summary, first=None if kills else True, at_rest=not was_killed)
        ]
        if was_killed:
            asyncio.run(self._settled())
        say("once more, which must write nothing")
        again = Chaos.undisturbed(self._start(None), self._deadline)
        differences += differences_in_summary(account, again.summary, first=False)
        differences += differences_in_rejects(account, Path(again.summary["rejects_file"]))
        say("comparing what Milvus holds")
        differences += asyncio.run(self._stored(sample))
        return Convergence(account, tuple(chaos.kills), tuple(chaos.runs), again, seconds, tuple(differences), sample)

    def _start(self, upsert_bytes: int | None, *, reindex: bool = False) -> IndexRun:
        self._started += 1
        settings = self._stack.settings
        if upsert_bytes is not None:
            settings = settings.model_copy(update={"indexer": IndexerSettings(upsert_bytes=upsert_bytes)})
        arguments = ["--catalogue", self._catalogue.folder, "--collection", self._alias]
        return IndexRun(
            settings,
            self._folder / "state",
            [*arguments, "--reindex"] if reindex else arguments,
            self._folder / "runs",
            self._started,
        )

    async def _settled(self) -> None:
        """Waits until a Milvus that was killed shows nothing twice, or has had time enough.

        Its log keeps what was acknowledged, and so do its files. But rows that were replaced before the kill can be
        seen beside the new ones until its query node loads their deletions, which has taken 14 s.
        """
        deadline = min(self._deadline, time.monotonic() + SETTLING_S)
        async with await MilvusConnection.open(self._stack.settings.milvus) as connection:
            shelf = Shelf(connection)
            name = (await shelf.info(self._alias)).name
            while await shelf.admin.count(name) > len(self._catalogue.account.written):
                if time.monotonic() > deadline:
                    return  # the comparison says what is left
                await asyncio.sleep(_POLL_S)

    async def _stored(self, sample: int) -> list[str]:
        settings = self._stack.settings
        async with await MilvusConnection.open(settings.milvus) as connection:
            shelf = Shelf(connection)
            return [
                *await differences_in_ids(self._catalogue.account, shelf, self._alias),
                *await differences_in_products(
                    self._catalogue, shelf, self._alias, settings, sample=sample, rng=self._rng
                ),
            ]


def drop_collection(settings: Settings, alias: str) -> None:
    """Removes an alias and the collection behind it, if they are there."""

    async def drop() -> None:
        async with await MilvusConnection.open(settings.milvus) as connection:
            admin = CollectionAdmin(connection)
            name = await admin.alias_target(alias)
            await admin.remove_alias(alias)
            if name is not None:
                await admin.drop(name)

    asyncio.run(drop())


def say(sentence: str) -> None:
    """Progress, on standard error."""
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


def main() -> int:
    """Returns the exit status."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    folder = Path(tempfile.mkdtemp(prefix="vitrine-converge-", dir=arguments.folder))
    deadline = time.monotonic() + 60 * arguments.max_minutes
    stack = RunningStack(settings_on_free_ports(folder / "stack", arguments.models), folder / "stack")
    (folder / "stack").mkdir()
    try:
        say(f"planting {arguments.rows} rows below {folder}")
        catalogue = plant(folder / "catalogue", rows=arguments.rows, seed=arguments.seed, pictures=arguments.pictures)
        say("starting Triton and Milvus")
        stack.start()
        convergent = Convergent(stack, catalogue, folder, ALIAS, arguments.seed, deadline)
        convergence = convergent.go(arguments.kills, sample=arguments.sample)
    except OutOfTime as late:
        say(f"not within {arguments.max_minutes} minutes: {late}")
        return STATUS_OUT_OF_TIME
    except NotConverging as failure:
        say(f"it does not converge: {failure}")
        return 1
    finally:
        stack.stop()
        if not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
    convergence.print()
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(convergence.as_json(), indent=2) + "\n", encoding="utf-8")
    return 1 if convergence.differences else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Index a planted catalogue while its indexer and engines are killed.")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of the indexer, Triton or Milvus")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=240, help="different ones")
    parser.add_argument("--sample", type=int, default=2_000, help="products whose vector and title are compared")
    parser.add_argument("--models", type=Path, default=ROOT / "model_repository", help="model repository to serve")
    parser.add_argument("--folder", type=Path, default=None, help="where everything is put; by default the system's")
    parser.add_argument("--json", type=Path, default=None, help="write the result there")
    parser.add_argument("--max-minutes", type=float, default=60.0)
    parser.add_argument("--keep", action="store_true", help="leave catalogue, logs and data behind")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
