"""What Triton and Milvus are told, without starting them."""

import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from vitrine.local import milvus, triton
from vitrine.local.engines import Engines
from vitrine.local.errors import EnginesMissing, StateUnusable
from vitrine.local.milvus import INTERNAL_ROLES, MilvusService
from vitrine.local.ports import choose_free
from vitrine.local.service import Launch
from vitrine.local.services import services_of
from vitrine.local.state import StateFolder
from vitrine.local.triton import TritonService
from vitrine.settings import LocalSettings, Settings


def fake_engines(root: Path, *, stub: str = "exit 1") -> Engines:
    """An environment with the files that a launch copies; its stub is a shell script."""
    engines = Engines(prefix=root, site=root / "site", python="3.11", python_library=None)
    engines.python_backend.mkdir(parents=True)
    (engines.python_backend / "libtriton_python.so").write_bytes(b"")
    engines.python_stub.parent.mkdir(parents=True)
    engines.python_stub.write_text(f"#!/bin/sh\n{stub}\n", encoding="utf-8")
    (root / "unpacked" / "milvus-unknown").mkdir(parents=True)
    return engines


def triton_launch(tmp_path: Path, **settings: object) -> Launch:
    local = LocalSettings.model_validate(settings)
    return TritonService(local, fake_engines(tmp_path / "e"), tmp_path / "models", tmp_path / "triton").prepare()


def configuration(tmp_path: Path, name: str) -> dict[str, object]:
    content: dict[str, object] = json.loads((tmp_path / "milvus" / "configs" / name).read_text(encoding="utf-8"))
    return content


def test_triton_binds_every_port_to_loopback_and_never_reloads(tmp_path: Path) -> None:
    command = triton_launch(tmp_path, triton_grpc_port=1111, triton_http_port=2222, triton_metrics_port=3333).command
    for server, port in (("grpc", 1111), ("http", 2222), ("metrics", 3333)):
        assert f"--{server}-address=127.0.0.1" in command
        assert f"--{server}-port={port}" in command
    assert "--model-control-mode=none" in command


def test_triton_is_told_of_no_path_that_has_a_blank(tmp_path: Path) -> None:
    """It hands its folders on to a shell, without quotes."""
    own = tmp_path / "with blanks in it"
    launch = TritonService(
        LocalSettings(), fake_engines(tmp_path / "e"), own / "my models", own / "my triton"
    ).prepare()
    (models,) = [word.partition("=")[2] for word in launch.command if word.startswith("--model-repository")]
    (backends,) = [word.partition("=")[2] for word in launch.command if word.startswith("--backend-directory")]
    assert (launch.directory / models).readlink() == own / "my models"
    assert (launch.directory / backends / "onnxruntime" / "model.py").is_file()
    assert not any(" " in word for word in launch.command[1:])


def test_triton_traces_what_comes_with_a_context_and_only_when_a_collector_is_named(tmp_path: Path) -> None:
    assert not any(word.startswith("--trace") for word in triton_launch(tmp_path).command)
    service = TritonService(
        LocalSettings(), fake_engines(tmp_path / "f"), tmp_path, tmp_path / "t", otlp_endpoint="http://c:4318/v1/traces"
    )
    command = service.prepare().command
    assert "--trace-config=mode=opentelemetry" in command
    assert "--trace-config=rate=0" in command
    assert "--trace-config=opentelemetry,url=http://c:4318/v1/traces" in command


def test_milvus_traces_what_comes_with_a_context_and_only_when_a_collector_is_named(tmp_path: Path) -> None:
    MilvusService(LocalSettings(), fake_engines(tmp_path / "e"), tmp_path / "milvus").prepare()
    assert "trace" not in configuration(tmp_path, "milvus.yaml")
    settings = LocalSettings(milvus_otlp_endpoint="c:4317")
    MilvusService(settings, fake_engines(tmp_path / "f"), tmp_path / "milvus").prepare()
    assert configuration(tmp_path, "milvus.yaml")["trace"] == {
        "exporter": "otlp",
        "sampleFraction": 0,
        "otlp": {"endpoint": "c:4317", "secure": False},
    }


def test_triton_gets_copies_of_its_backends_and_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    launch = triton_launch(tmp_path)
    backends = tmp_path / "triton" / "backends"
    assert not (backends / "python" / "libtriton_python.so").is_symlink()
    assert stat.S_IXUSR & (backends / "python" / "triton_python_backend_stub").stat().st_mode
    assert (backends / "onnxruntime" / "model.py").read_bytes() == triton.BACKEND_SOURCE.read_bytes()
    assert "PYTHONPATH" not in launch.environment
    assert launch.environment["VIRTUAL_ENV"] == str(tmp_path / "e")


def test_a_stub_without_its_libpython_is_explained(tmp_path: Path) -> None:
    engines = fake_engines(tmp_path / "e", stub="echo 'libpython3.11.so.1.0: cannot open' >&2; exit 127")
    service = TritonService(LocalSettings(), engines, tmp_path, tmp_path / "triton")
    with pytest.raises(EnginesMissing, match=r"libpython3\.11\.so\.1\.0: cannot open.*libpython3\.11 package"):
        service.prepare()


def test_shared_memory_of_this_stack_only_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "SHARED_MEMORY", tmp_path)
    mine = TritonService(LocalSettings(), fake_engines(tmp_path / "e"), tmp_path, tmp_path / "mine")
    other = TritonService(LocalSettings(), fake_engines(tmp_path / "f"), tmp_path, tmp_path / "other")
    for service in (mine, other):
        (tmp_path / f"{service.shared_memory_prefix}region").touch()
    mine.clean_up()
    assert [path.name for path in tmp_path.glob("vitrine_*")] == [f"{other.shared_memory_prefix}region"]


def test_both_engines_ask_for_pages_of_2_mib_whatever_their_allocator(tmp_path: Path) -> None:
    service = MilvusService(LocalSettings(), fake_engines(tmp_path / "m"), tmp_path / "milvus")
    for launch in (triton_launch(tmp_path), service.prepare()):
        assert launch.environment["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
        assert launch.environment["MALLOC_CONF"] == "thp:always"


def test_milvus_talks_to_itself_over_loopback(tmp_path: Path) -> None:
    settings = LocalSettings(milvus_port=1111, etcd_port=2222)
    launch = MilvusService(settings, fake_engines(tmp_path / "e"), tmp_path / "milvus").prepare()
    assert launch.environment["MILVUSCONF"] == str(tmp_path / "milvus" / "configs")
    server = configuration(tmp_path, "milvus.yaml")
    for role in (*INTERNAL_ROLES[:6], "proxy"):
        assert server[role]["ip"] == "127.0.0.1"  # type: ignore[index]
    assert server["proxy"]["port"] == 1111  # type: ignore[index]
    etcd = configuration(tmp_path, "etcd.yaml")
    assert etcd["listen-client-urls"] == "http://127.0.0.1:2222"
    assert str(etcd["listen-peer-urls"]).startswith("http://127.0.0.1:")


def test_milvus_keeps_its_inner_ports_while_they_are_free(tmp_path: Path) -> None:
    service = MilvusService(LocalSettings(), fake_engines(tmp_path / "e"), tmp_path / "milvus")
    record = tmp_path / "milvus" / "ports.json"
    service.prepare()
    first = json.loads(record.read_text(encoding="utf-8"))
    assert len(set(first.values())) == len(INTERNAL_ROLES)
    service.prepare()
    assert json.loads(record.read_text(encoding="utf-8")) == first
    with socket.create_server(("127.0.0.1", first["dataNode"])):
        service.prepare()
    assert json.loads(record.read_text(encoding="utf-8")) != first


def test_a_runtime_folder_of_another_user_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "RUNTIME_FOLDER", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    service = MilvusService(LocalSettings(), fake_engines(tmp_path / "e"), tmp_path / "milvus")
    with pytest.raises(StateUnusable, match="belongs to another user of this machine"):
        service.prepare()


def test_notes_of_dead_servers_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "RUNTIME_FOLDER", tmp_path)
    alive, dead = tmp_path / f"server_id_{os.getpid()}", tmp_path / "server_id_999999999"
    for note in (alive, dead):
        note.touch()
    MilvusService(LocalSettings(), fake_engines(tmp_path / "e"), tmp_path / "milvus").clean_up()
    assert alive.exists()
    assert not dead.exists()


@pytest.mark.parametrize("part", ["triton", "milvus"])
def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, part: str) -> None:
    (tmp_path / part).write_text("a file where a folder belongs", encoding="utf-8")
    engines = fake_engines(tmp_path / "e")
    service = (
        TritonService(LocalSettings(), engines, tmp_path, tmp_path / part)
        if part == "triton"
        else MilvusService(LocalSettings(), engines, tmp_path / part)
    )
    with pytest.raises(StateUnusable, match="cannot be written"):
        service.prepare()


def test_every_setting_that_a_port_error_can_name_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engines, "locate", classmethod(lambda cls, folder: fake_engines(tmp_path / "e")))
    rules = tmp_path / "rules" / "alerts" / "A.yaml"
    rules.parent.mkdir(parents=True)
    rules.touch()
    settings = Settings(local=LocalSettings(prometheus=sys.executable, monitoring_dir=tmp_path / "rules"))
    known = {
        f"VITRINE_{section}__{name}".upper()
        for section in Settings.model_fields
        for name in type(getattr(settings, section)).model_fields
    }
    ports = [port for service in services_of(settings, StateFolder(tmp_path)) for port in service.ports]
    assert len(ports) == 8
    assert {port.setting for port in ports} <= known
    assert len({port.number for port in ports}) == 8, "the defaults collide"


def test_ports_chosen_for_parts_are_outside_the_privileged_range() -> None:
    assert all(port > 1023 for port in choose_free(8))
