"""`vitrine up`, `status`, `down` with the real engines and the real gateway, as a person would type them."""

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from tests.fixtures.command_line import CommandLine
from tests.fixtures.stack import settings_on_free_ports
from vitrine.local.service import answers_ok
from vitrine.local.stack import Stack
from vitrine.local.state import processes_of

RECOVERY_S = 60.0
ROWS, DIMENSION = 200, 16


@pytest.fixture(scope="module")
def vitrine(tmp_path_factory: pytest.TempPathFactory, tiny_repository: Path) -> Iterator[CommandLine]:
    """A stack that is up, holding one collection; tests that bring it down bring it up again."""
    command = CommandLine(settings_on_free_ports(tmp_path_factory.mktemp("up"), tiny_repository))
    try:
        command.up()
        fill(command.settings.milvus.uri)
        yield command
    finally:
        command("down")


def vectors() -> np.ndarray:
    generator = np.random.default_rng(0)
    drawn = generator.standard_normal((ROWS, DIMENSION), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def fill(uri: str) -> None:
    """Written and not flushed: what is kept must be kept by the server's journal."""
    client = MilvusClient(uri, timeout=30)
    schema = client.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=16)
    schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIMENSION)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="HNSW", metric_type="IP", params={"M": 8, "efConstruction": 64})
    client.create_collection("kept", schema=schema, index_params=index, timeout=60)
    client.upsert("kept", [{"id": f"{row:010d}", "embedding": vector} for row, vector in enumerate(vectors())])
    client.close()


def nearest_is_itself(uri: str) -> bool:
    client = MilvusClient(uri, timeout=10)
    try:
        client.load_collection("kept", timeout=10)
        found = client.search(
            "kept", list(vectors()[:20]), limit=1, consistency_level="Strong", timeout=10, output_fields=["id"]
        )
        rows = client.query("kept", "", output_fields=["count(*)"], consistency_level="Strong", timeout=10)
        return rows[0]["count(*)"] == ROWS and [hits[0]["id"] for hits in found] == [f"{row:010d}" for row in range(20)]
    except MilvusException as error:
        # Healthy means that its roles are up; collections are loaded, and their journal replayed, after that.
        print(f"not back yet: {error.message}")
        return False
    finally:
        client.close()


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"waited {seconds} s for {what}"
        time.sleep(0.1)
    return time.monotonic() - started


def all_ready(vitrine: CommandLine) -> bool:
    return all(service.phase == "ready" for service in vitrine.status().services)


def test_status_says_where_everything_answers(vitrine: CommandLine) -> None:
    code, output = vitrine("status", "--json")
    assert code == 0
    status: dict[str, Any] = json.loads(output)
    assert [service["name"] for service in status["services"]] == ["triton", "milvus", "gateway"]
    assert {service["phase"] for service in status["services"]} == {"ready"}
    assert status["services"][2]["address"] == f"http://127.0.0.1:{vitrine.settings.gateway.port}"
    assert answers_ok(vitrine.settings.gateway.port, "/livez")


def test_triton_and_the_gateway_listen_on_loopback_only(vitrine: CommandLine) -> None:
    for name in ("triton", "gateway"):
        process = psutil.Process(vitrine.pid(name))
        listening = [one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN]
        assert listening
        assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1"}  # the latter is the former on an IPv6 socket


def test_a_second_up_is_refused_and_disturbs_nothing(vitrine: CommandLine) -> None:
    before = vitrine.status()
    code, output = vitrine("up")
    assert code != 0
    assert output.count("\n") == 1
    assert "is up already" in output
    assert vitrine.status() == before


def test_logs_show_the_end_of_each_process(vitrine: CommandLine) -> None:
    code, output = vitrine("logs", "milvus", "-n", "3")
    assert code == 0
    assert len(output.splitlines()) == 3
    code, output = vitrine("logs", "nothing")
    assert code != 0
    assert "there are: gateway, milvus, supervisor, triton" in output


def test_killed_engines_come_back_with_their_data(vitrine: CommandLine) -> None:
    before = {name: vitrine.pid(name) for name in ("triton", "milvus", "gateway")}
    for name in ("triton", "milvus"):
        os.kill(before[name], signal.SIGKILL)
    wait_until(lambda: not all_ready(vitrine), 10, "the deaths to be noticed")
    wait_until(lambda: all_ready(vitrine), RECOVERY_S, "the engines to come back")
    after = {name: vitrine.pid(name) for name in before}
    assert after["triton"] != before["triton"]
    assert after["milvus"] != before["milvus"]
    assert after["gateway"] == before["gateway"]
    assert vitrine.service("milvus").restarts >= 1
    wait_until(lambda: nearest_is_itself(vitrine.settings.milvus.uri), RECOVERY_S, "the data to be back")


def test_a_killed_supervisor_leaves_nothing_and_the_next_up_recovers(vitrine: CommandLine) -> None:
    status = vitrine.status()
    os.kill(status.supervisor, signal.SIGKILL)
    wait_until(lambda: processes_of(status.run) == [], 15, "the services to die with their supervisor")
    code, output = vitrine("status")
    assert code != 0
    assert "ended without `vitrine down`" in output
    assert "ended without `vitrine down`" in vitrine.up()
    wait_until(lambda: nearest_is_itself(vitrine.settings.milvus.uri), RECOVERY_S, "the data to be back")


def test_down_leaves_no_process_and_no_shared_memory_and_keeps_data(vitrine: CommandLine) -> None:
    run = vitrine.status().run
    assert vitrine.shared_memory()
    code, output = vitrine("down")
    assert (code, output) == (0, "Stopped.\n")
    assert processes_of(run) == []
    assert vitrine.shared_memory() == []
    assert vitrine("status")[0] != 0
    assert vitrine("down") == (0, "Nothing was running.\n")
    vitrine.up()
    wait_until(lambda: nearest_is_itself(vitrine.settings.milvus.uri), RECOVERY_S, "the data to be back")


@pytest.fixture
def elsewhere(tmp_path: Path, tiny_repository: Path) -> Iterator[CommandLine]:
    """A stack that is down, in a folder of its own; a test that fails half way leaves nothing running."""
    command = CommandLine(settings_on_free_ports(tmp_path / "state", tiny_repository))
    yield command
    Stack(command.settings).down(note=print)


def test_ctrl_c_in_the_foreground_leaves_no_process(elsewhere: CommandLine) -> None:
    with elsewhere.start("up", "--foreground") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "milvus: ready\n":
                break
        run = elsewhere.status().run
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(60) == 0, rest
    assert processes_of(run) == []
    assert elsewhere.shared_memory() == []


def test_ctrl_c_while_up_waits_stops_what_was_started(elsewhere: CommandLine) -> None:
    with elsewhere.start("up") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("waiting for"):
                break
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(60) == 130
    assert processes_of(elsewhere.last_run()) == []


def test_a_taken_port_is_one_sentence_and_starts_nothing(elsewhere: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", elsewhere.settings.local.milvus_port)):
        code, output = elsewhere("up")
    assert code != 0
    assert output.count("\n") == 1
    assert f"Port {elsewhere.settings.local.milvus_port} for Milvus is taken" in output
    assert "VITRINE_LOCAL__MILVUS_PORT" in output


def test_a_model_that_cannot_be_opened_is_reported_with_the_reason(
    elsewhere: CommandLine, tiny_repository: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_repository, broken)
    (broken / "clip_text" / "1" / "model.onnx").write_bytes(b"not a graph")
    code, output = elsewhere("up", "--models", str(broken))
    assert code != 0
    assert "triton ended with status 1" in output
    assert "model.onnx cannot be opened" in output
    assert processes_of(elsewhere.last_run()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"VITRINE_LOCAL__ENGINES_DIR": "/nonexistent"}, "run `make engines`"),
        ({"VITRINE_MODEL__REPOSITORY": "/nonexistent"}, "There is no model repository at /nonexistent"),
        ({"VITRINE_LOCAL__STATE_DIR": "/proc/nowhere"}, "The state folder /proc/nowhere cannot be written"),
    ],
)
def test_what_cannot_work_is_one_sentence(elsewhere: CommandLine, change: dict[str, str], sentence: str) -> None:
    code, output = elsewhere("up", **change)
    assert code != 0
    assert output.count("\n") == 1
    assert sentence in output
