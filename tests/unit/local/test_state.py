import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vitrine.local.errors import StateUnusable
from vitrine.local.state import ServiceStatus, StackStatus, StateFolder

STATUS = StackStatus(
    run="r",
    boot="b",
    supervisor=7,
    phase="ready",
    services=(ServiceStatus("triton", "waiting", "127.0.0.1:1", pid=None, restarts=2, detail="why"),),
)


def test_a_status_survives_writing_and_reading(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.write_status(STATUS)
    assert folder.read_status() == STATUS


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99}', '{"format": 1}', '{"format": 1, "services": [{"nome": 1}]}']
)
def test_an_unreadable_status_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_text(text, encoding="utf-8")
    assert StateFolder(tmp_path).read_status() is None


def test_the_lock_is_held_by_a_child_until_it_ends(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.create()
    descriptor = folder.try_lock()
    assert descriptor is not None
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
    ) as holder:
        os.close(descriptor)
        assert folder.is_locked()
        assert folder.try_lock() is None
        holder.kill()
    assert not folder.is_locked()


def test_a_folder_that_was_never_used_is_not_locked(tmp_path: Path) -> None:
    assert not StateFolder(tmp_path / "none").is_locked()


def test_a_folder_that_cannot_be_made_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StateUnusable, match=r"cannot be written: Not a directory.*VITRINE_LOCAL__STATE_DIR"):
        StateFolder(tmp_path / "file" / "state").create()


def test_a_full_disk_is_refused_with_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 << 20))
    with pytest.raises(StateUnusable, match="100 MiB left and 512 MiB are needed"):
        StateFolder(tmp_path).create()
