import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vitrine.local.commands import Terminal, register, with_models
from vitrine.local.errors import StackNotRunning
from vitrine.local.prometheus import why_without
from vitrine.local.state import ServiceStatus, StackStatus, StateFolder
from vitrine.settings import LocalSettings, Settings


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("VITRINE_LOCAL__STATE_DIR", str(tmp_path))
    app = typer.Typer()
    register(app)
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


def stack_status(phase: str, **services: str) -> StackStatus:
    return StackStatus(
        run="r",
        boot="b",
        supervisor=1,
        phase=phase,  # type: ignore[arg-type]
        services=tuple(ServiceStatus(name, part, f"at/{name}") for name, part in services.items()),  # type: ignore[arg-type]
    )


def test_logs_prints_the_last_lines(run, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.create()
    folder.log("milvus").write_text("one\ntwo\nthree\n", encoding="utf-8")
    result = run("logs", "milvus", "-n", "2")
    assert (result.exit_code, result.output) == (0, "two\nthree\n")


def test_logs_of_an_unknown_process_lists_the_known_ones(run, tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.create()
    folder.log("milvus").touch()
    error = run("logs", "mivlus").exception
    assert isinstance(error, StackNotRunning)
    assert "there are: milvus" in error.message


def test_a_name_cannot_lead_out_of_the_log_folder(run, tmp_path: Path) -> None:
    StateFolder(tmp_path).create()
    (tmp_path / "secret.log").write_text("secret", encoding="utf-8")
    result = run("logs", "../secret")
    assert "secret\n" not in result.output
    assert isinstance(result.exception, StackNotRunning)


def test_down_without_a_stack_is_no_error(run) -> None:
    result = run("down")
    assert (result.exit_code, result.output) == (0, "Nothing was running.\n")


def test_status_without_a_stack_is_an_error_that_says_how_to_start_it(run) -> None:
    error = run("status").exception
    assert isinstance(error, StackNotRunning)
    assert "`vitrine up`" in error.message


def test_models_replace_the_configured_repository_and_nothing_else() -> None:
    settings = Settings()
    changed = with_models(settings, Path("other"))
    assert changed.model.repository == Path("other")
    assert changed.model_copy(update={"model": settings.model}) == settings
    assert with_models(settings, None) is settings


def test_progress_off_a_terminal_is_one_line_for_each_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(Settings(local=LocalSettings(prometheus=sys.executable, monitoring_dir=tmp_path)))
    terminal.show(stack_status("starting", triton="starting", milvus="starting"))
    terminal.show(stack_status("starting", triton="ready", milvus="starting"))
    terminal.show(stack_status("ready", triton="ready", milvus="ready"))
    terminal.show(stack_status("ready", triton="waiting", milvus="ready"))
    terminal.close()
    assert capsys.readouterr().out.splitlines() == [
        "waiting for triton, milvus (at most 120 s)",
        "triton: ready",
        "milvus: ready",
        "triton: waiting",
    ]


def test_what_is_not_started_is_said_once_when_the_rest_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(Settings(local=LocalSettings(prometheus="no-such-program")))
    terminal.show(stack_status("starting", triton="starting"))
    terminal.show(stack_status("ready", triton="ready"))
    terminal.show(stack_status("ready", triton="waiting"))
    terminal.close()
    told = [line for line in capsys.readouterr().out.splitlines() if "Prometheus" in line]
    assert told == [why_without(LocalSettings(prometheus="no-such-program"))]
