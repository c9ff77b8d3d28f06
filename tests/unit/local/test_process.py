import os
import re
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from vitrine.local.process import Child, bound_log, complaints, describe_exit, last_lines
from vitrine.local.service import Launch
from vitrine.local.state import RUN_MARKER, processes_of

SPAWN_A_SLEEPER = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def launch(script: str, folder: Path) -> Launch:
    return Launch((sys.executable, "-S", "-c", script), {"PATH": os.defpath}, folder)


def wait_until(condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_output_and_exit_status_of_a_child_are_kept(tmp_path: Path) -> None:
    child = Child(launch("print('hello'); raise SystemExit(3)", tmp_path), tmp_path / "log", "run-1")
    wait_until(lambda: child.exit_status() is not None)
    assert child.exit_status() == 3
    header, *lines = last_lines(tmp_path / "log", 10)
    assert header.startswith("--- ")
    assert lines == ["hello"]


def test_a_child_gets_only_the_environment_of_its_launch_and_the_mark_of_its_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "x")
    child = Child(launch("import os; print(sorted(os.environ))", tmp_path), tmp_path / "log", "run-2")
    wait_until(lambda: child.exit_status() is not None)
    printed = last_lines(tmp_path / "log", 1)[0]
    assert RUN_MARKER in printed
    assert "SECRET_OF_THE_PARENT" not in printed


@pytest.mark.parametrize("end", ["kill", "exit"])
def test_what_a_child_started_ends_with_it(tmp_path: Path, end: str) -> None:
    log = tmp_path / "log"
    child = Child(launch(SPAWN_A_SLEEPER, tmp_path), log, "run-3")
    wait_until(lambda: len(last_lines(log, 5)) == 2)
    grandchild = psutil.Process(int(last_lines(log, 1)[0]))
    if end == "kill":
        child.kill()
    else:
        os.kill(child.pid, signal.SIGKILL)  # as if it had crashed
        wait_until(lambda: child.exit_status() is not None)
    wait_until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_terminate_wakes_a_stopped_child(tmp_path: Path) -> None:
    child = Child(launch("import time; time.sleep(60)", tmp_path), tmp_path / "log", "run-4")
    os.kill(child.pid, signal.SIGSTOP)
    child.terminate()
    wait_until(lambda: child.exit_status() is not None)
    assert child.exit_status() == -signal.SIGTERM


def test_processes_of_a_run_are_found_by_their_mark(tmp_path: Path) -> None:
    child = Child(launch("import time; time.sleep(60)", tmp_path), tmp_path / "log", "run-5")
    try:
        assert [process.pid for process in processes_of("run-5")] == [child.pid]
        assert processes_of("run-6") == []
    finally:
        child.kill()
    assert processes_of("run-5") == []


def test_a_child_that_does_not_exist_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child(Launch(("/nonexistent/program",), {}, tmp_path), tmp_path / "log", "run-7")


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "ended with status 0"), (-9, "was killed by SIGKILL"), (-200, "was killed by signal 200")],
)
def test_an_exit_is_described_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words


def test_last_lines_of_a_long_log_are_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)) + "x" * 10_000 + "\n", encoding="utf-8")
    lines = last_lines(log, 3)
    assert lines[:2] == ["line 998", "line 999"]
    assert len(lines[2]) == 800
    assert last_lines(tmp_path / "absent", 3) == []


def test_complaints_are_those_since_the_latest_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("--- first\nbad old\n--- second\nfine\nbad one\nbad one\nbad two\nfine\n", encoding="utf-8")
    assert complaints(log, re.compile("bad"), 8) == ["bad one", "bad two"]
    assert complaints(log, re.compile("bad"), 1) == ["bad two"]
    assert complaints(log, re.compile("absent"), 2) == ["bad two", "fine"]


def test_a_log_over_the_limit_is_moved_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        bound_log(log, limit=1_000)
        assert log.stat().st_size == 100
        writer.write(b"y" * 1_000)
        bound_log(log, limit=1_000)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "a.log.1").stat().st_size == 1_100
