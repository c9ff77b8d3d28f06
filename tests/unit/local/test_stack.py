"""up and down of a whole stack, over small processes in the place of the engines."""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.unit.local.scripted import ScriptedService
from vitrine.errors import ModelInvalid
from vitrine.local.errors import PortInUse, StackNotRunning, StackRunning, StateUnusable
from vitrine.local.service import Port
from vitrine.local.stack import Stack, require_repository
from vitrine.local.state import StackStatus, StateFolder, boot_id, processes_of
from vitrine.settings import CanarySettings, LocalSettings, ModelSettings, Settings


def make_settings(state_dir: Path, repository: Path) -> Settings:
    return Settings(
        local=LocalSettings(state_dir=state_dir, start_timeout_s=10.0, stop_timeout_s=2.0),
        model=ModelSettings(repository=repository),
    )


@pytest.fixture
def settings(tmp_path: Path, tiny_repository: Path) -> Settings:
    return make_settings(tmp_path / "state", tiny_repository)


def scripted(settings: Settings, folder: StateFolder) -> tuple[ScriptedService, ...]:
    return tuple(ScriptedService(name, folder.root) for name in ("a", "b"))


def ignore(message: object) -> None:
    """Nobody listens."""


@pytest.fixture
def foreground(settings: Settings) -> list[StackStatus]:
    """Statuses of a stack that ran in the foreground until it was ready, then got Ctrl-C."""
    seen: list[StackStatus] = []

    def report(status: StackStatus) -> None:
        seen.append(status)
        if status.phase == "ready":
            os.kill(os.getpid(), signal.SIGINT)

    Stack(settings, scripted).run(report=report, note=ignore)
    return seen


def test_the_foreground_runs_until_ctrl_c_and_leaves_nothing(settings: Settings, foreground: list[StackStatus]) -> None:
    assert [status.phase for status in foreground][-1] == "stopped"
    assert processes_of(foreground[-1].run) == []
    assert not StateFolder(settings.local.state_dir).is_locked()
    with pytest.raises(StackNotRunning, match="start it with `vitrine up`"):
        Stack(settings, scripted).status()


def test_a_second_up_is_refused_while_the_first_holds_the_folder(settings: Settings) -> None:
    folder = StateFolder(settings.local.state_dir)
    folder.create()
    lock = folder.try_lock()
    assert lock is not None
    try:
        with pytest.raises(StackRunning, match="is up already"):
            Stack(settings, scripted).up(report=ignore, note=ignore)
    finally:
        os.close(lock)


def test_a_taken_port_stops_up_before_anything_starts(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = Port(other.getsockname()[1], "VITRINE_LOCAL__X_PORT", "x")
        services = lambda settings, folder: (ScriptedService("a", folder.root, ports=(port,)),)  # noqa: E731
        with pytest.raises(PortInUse, match="VITRINE_LOCAL__X_PORT"):
            Stack(settings, services).run(report=ignore, note=ignore)
    assert not StateFolder(settings.local.state_dir).is_locked()


@pytest.mark.parametrize(
    ("boot", "sentence"), [("another", "The machine was restarted"), ("", "ended without `vitrine down`")]
)
def test_a_stale_folder_is_put_right_and_that_is_said(settings: Settings, boot: str, sentence: str) -> None:
    folder = StateFolder(settings.local.state_dir)
    folder.create()
    folder.write_status(StackStatus(run="old", boot=boot or boot_id(), supervisor=1, phase="ready"))
    notes: list[str] = []

    def report(status: StackStatus) -> None:
        if status.phase == "ready":
            os.kill(os.getpid(), signal.SIGTERM)

    Stack(settings, scripted).run(report=report, note=notes.append)
    assert len(notes) == 1
    assert sentence in notes[0]


def test_down_of_a_stack_that_is_down_is_no_error(settings: Settings) -> None:
    assert Stack(settings, scripted).down(note=ignore) is False


def test_status_tells_why_the_last_run_failed(settings: Settings) -> None:
    folder = StateFolder(settings.local.state_dir)
    folder.create()
    folder.write_status(StackStatus("r", "b", 1, "failed", detail="milvus ended with status 1.\nThe end:\nlots"))
    with pytest.raises(StackNotRunning) as caught:
        Stack(settings, scripted).status()
    assert caught.value.message.endswith("Its last run failed: milvus ended with status 1.")


@pytest.mark.parametrize(
    "missing", ["contract.json", "tokenizer.json", "clip_text/1/model.onnx", "clip_image/config.pbtxt"]
)
def test_a_model_repository_without_one_of_its_files_is_refused(
    tmp_path: Path, tiny_repository: Path, missing: str
) -> None:
    broken = tmp_path / "models"
    shutil.copytree(tiny_repository, broken)
    (broken / missing).unlink()
    with pytest.raises(ModelInvalid, match=missing):
        require_repository(broken)


def test_no_model_repository_at_all_is_refused_with_the_option_that_names_one(tmp_path: Path) -> None:
    with pytest.raises(ModelInvalid, match=r"no model repository at .*; `--models` names another"):
        require_repository(tmp_path / "none")


def test_live_recall_is_measured_unless_somebody_says_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor gets every setting, so it could not tell one that nobody set."""
    told: list[str] = []

    def refuse(command: object, *, env: dict[str, str], **_: object) -> None:
        told.append(env["VITRINE_CANARY__INTERVAL_S"])
        raise OSError("not started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    off = settings.model_copy(update={"canary": CanarySettings(interval_s=0)})
    for given in (settings, off):
        with pytest.raises(StateUnusable, match="not started"):
            Stack(given, scripted).up(report=ignore, note=ignore)
    assert [float(one) for one in told] == [60, 0]
