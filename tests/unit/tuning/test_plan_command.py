import json

import pytest
from typer.testing import CliRunner

from vitrine.cli.app import build_app
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.vectorstore.index_params import INDEX_KINDS

RUN = CliRunner()


def plan(*arguments: str) -> str:
    found = RUN.invoke(build_app(), ["plan", *arguments], catch_exceptions=False, terminal_width=100)
    assert found.exit_code == 0, found.output
    return found.stdout


def test_every_kind_is_planned_side_by_side_and_told_to_machines() -> None:
    told = json.loads(plan("--vectors", "1e9", "--qps", "5k", "--json"))
    assert {one["index"]["type"] for one in told["plans"]} == set(INDEX_KINDS)
    assert told["demand"]["vectors"] == 10**9
    for one in told["plans"]:
        assert one["query_nodes"] >= max(one["nodes_by_memory"], one["nodes_by_qps"])
        assert one["query_nodes"] % told["demand"]["replicas"] == 0
        assert one["memory_bytes_of_replicas"] == pytest.approx(2 * one["memory_bytes"], abs=1)
        assert one["drivers"]
    measured = {one["index"]["type"] for one in told["plans"] if one["search_cpu_measured"]}
    assert measured == {"flat", "hnsw", "ivf_flat", "ivf_sq8", "ivf_pq"}


def test_the_tables_name_bytes_nodes_and_what_the_cost_hangs_on() -> None:
    told = plan("--vectors", "100M", "--qps", "2000", "--index", "hnsw:M=32", "--index", "diskann", "--replicas", "3")
    assert "100,000,000 vectors of 512 dimensions, 3 replicas, 2,000 searches/s." in told
    assert "HNSW M=32 ef=64" in told
    assert "What the cost hangs on:" in told
    assert "No recall is promised" in told
    marked = {line.split()[0]: "*" in line for line in told.splitlines() if line.startswith((" HNSW", " DISKANN"))}
    assert marked == {"HNSW": False, "DISKANN": True}, "the later of two tables tells what was measured"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--vectors", "many"], InvalidInput, "'many' is no whole number"),
        (["--vectors", "1M", "--index", "hnsw:nlist=3"], InvalidInput, "HNSW has no parameter 'nlist'"),
        (["--vectors", "1M", "--dimension", "100", "--index", "ivf_pq:m=64"], InvalidInput, "not a multiple of 64"),
        (["--vectors", "1M", "--replicas", "0"], LimitExceeded, "replicas must be from 1 to 64"),
        (["--vectors", "1M", "--node-cores", "0"], LimitExceeded, "node-cores must be from 1"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments: list[str], error: type[InvalidInput], message: str) -> None:
    with pytest.raises(error, match=message):
        plan(*arguments)
