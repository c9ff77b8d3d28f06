"""A catalogue in two shards: processes that share a folder and a Milvus, and nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.indexing import Ended, Indexing, Shelf
from tests.fixtures.shop import Shop, product_ids
from tests.fixtures.stack import RunningStack
from vitrine.indexer.display import LineDisplay
from vitrine.indexer.shards.finishing import Finished, FinishRequest, ShardsIncomplete, finish
from vitrine.indexer.shards.sharding import Shard
from vitrine.local.gateway import environment_of
from vitrine.settings import LocalSettings

IDS = product_ids(60)


@dataclass
class Pods:
    """Each shard has a state folder of its own, as on a machine of its own; `shared` is the volume."""

    shop: Shop
    stack: RunningStack
    folder: Path

    @property
    def shared(self) -> Path:
        return self.folder / "shared"

    def indexing(self, number: int) -> Indexing:
        return Indexing(self.stack.settings, self.folder / f"pod{number}")

    def arguments(self, alias: str, shard: str, *more: str) -> list[str | Path]:
        return [
            "--catalogue",
            self.shop.folder,
            "--collection",
            alias,
            "--ledger",
            self.shared,
            "--shard",
            shard,
            *more,
        ]

    def together(self, alias: str, *more: str) -> list[Ended]:
        """Both shards at the same time."""
        runs = [self.indexing(number).start(*self.arguments(alias, f"{number}/2", *more)) for number in (1, 2)]
        return [run.end() for run in runs]

    def verb(self, *arguments: str | Path) -> tuple[int, dict[str, Any], str]:
        """`index VERB ARGUMENTS --json` on one more machine."""
        here = self.stack.settings.model_copy(update={"local": LocalSettings(state_dir=self.folder / "finisher")})
        command = [sys.executable, "-m", "vitrine.indexer", "index", *map(str, arguments), "--json"]
        ran = subprocess.run(
            command, env={**os.environ, **environment_of(here)}, capture_output=True, text=True, timeout=120
        )
        return ran.returncode, json.loads(ran.stdout) if ran.stdout else {}, ran.stderr

    async def finish(self, alias: str, wait_s: float = 0.0) -> Finished:
        """What the verb does, in this process."""
        request = FinishRequest(alias, 2, ledger=self.shared, wait_s=wait_s)
        return await finish(request, self.stack.settings, LineDisplay())


@pytest.fixture(scope="module")
def pods(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Pods:
    folder = tmp_path_factory.mktemp("shards")
    shop = Shop(folder / "shop")
    for product_id in IDS:
        shop.add(product_id)
    shop.add_row(IDS[0])
    shop.add_row("0990000001")
    shop.add_line('"never closed\n')
    shop.write()
    return Pods(shop, stack, folder)


async def test_two_shards_fill_one_collection_and_finish_shows_it(pods: Pods, shelf: Shelf) -> None:
    ended = pods.together("sharded")
    assert [run.status for run in ended] == [0, 0], [run.stderr for run in ended]
    assert {run.summary["collection"] for run in ended} == {"sharded_v1"}
    for run in ended:
        counts = run.summary
        assert counts["read"] == 63 == counts["written"] + counts["rejected"] + counts["elsewhere"]
    assert sum(run.counts["written"] for run in ended) == 60
    assert await shelf.admin.alias_target("sharded") is None

    status, done, stderr = pods.verb("finish", "--collection", "sharded", "--shards", "2", "--ledger", pods.shared)
    assert status == 0, stderr
    assert (done["in_collection"], done["total"]["read"], done["total"]["rejected"]) == (60, 63, 3)
    assert done["rejected_by_reason"] == {"id_duplicate": 1, "image_missing": 1, "row_malformed": 1}
    assert await shelf.admin.alias_target("sharded") == "sharded_v1"
    assert await shelf.ids("sharded") == IDS
    up_to_date = (await shelf.info("sharded")).lineage.indexed_at
    assert up_to_date is not None
    assert (await pods.finish("sharded")).rows == 60
    assert (await shelf.info("sharded")).lineage.indexed_at == up_to_date, "the same shards make nothing newer"


async def test_a_round_with_a_missing_or_failed_shard_is_not_shown(pods: Pods, shelf: Shelf) -> None:
    first = pods.indexing(1).run(*pods.arguments("partly", "1/2"))
    assert first.status == 0, first.stderr
    with pytest.raises(ShardsIncomplete, match="Shard 2/2 left no report"):
        await pods.finish("partly", wait_s=0.1)
    failed = pods.indexing(2).run(*pods.arguments("partly", "2/2", "--max-rejects", "0"))
    assert failed.status == 2
    status, report, _ = pods.verb("report", "--collection", "partly", "--ledger", pods.shared)
    assert status == 0
    assert "limit_exceeded" in report["problems"][0]
    with pytest.raises(ShardsIncomplete, match="limit_exceeded"):
        await pods.finish("partly")
    assert await shelf.admin.alias_target("partly") is None
    again = pods.indexing(2).start(*pods.arguments("partly", "2/2"))
    assert (await pods.finish("partly", wait_s=120.0)).live
    assert again.end().status == 0
    assert await shelf.ids("partly") == IDS


async def test_shards_refill_and_prune_their_own_products(pods: Pods, shelf: Shelf) -> None:
    whole = list(pods.shop.lines)
    pods.shop.lines = [line for line in whole if str(line)[:10] not in IDS[:2]]
    pods.shop.write()
    # The old reports are of another round: a shard that has not run yet is not taken for one that has.
    one = pods.indexing(1).run(*pods.arguments("sharded", "1/2", "--prune"))
    assert one.status == 0, one.stderr
    with pytest.raises(ShardsIncomplete, match="of round"):
        await pods.finish("sharded")
    two = pods.indexing(2).run(*pods.arguments("sharded", "2/2", "--prune"))
    assert two.status == 0, two.stderr
    gone = [sum(Shard(number, 2).owns(product_id) for product_id in IDS[:2]) for number in (1, 2)]
    assert [one.summary["deleted"], two.summary["deleted"]] == gone
    done = await pods.finish("sharded")
    assert (done.rows, done.merged.total()["deleted"]) == (58, 2)
    assert await shelf.ids("sharded") == IDS[2:]
    pods.shop.lines = whole
    pods.shop.write()
