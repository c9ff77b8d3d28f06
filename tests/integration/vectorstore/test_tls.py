"""Milvus over TLS: a server of its own, whose certificate an internal authority signed for `localhost`."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.certificates import Authority, ServerCertificate
from tests.fixtures.stack import RunningService, settings_on_free_ports
from vitrine.errors import VectorStoreUnavailable
from vitrine.local.engines import Engines
from vitrine.local.gateway import environment_of
from vitrine.local.milvus import MilvusService
from vitrine.settings import MilvusSettings, Settings
from vitrine.vectorstore.connection import MilvusConnection

PATIENCE_S = 60.0
"""Given to each call: a refusal that came by a timeout would take all of it."""
AT_ONCE_S = 20.0
"""In which all refusals are there, on any machine."""


class TlsMilvus(MilvusService):
    """The embedded server with a certificate; clients need none."""

    certificate: ServerCertificate

    def _configuration(self, internal: dict[str, int]) -> dict[str, Any]:
        configuration = super()._configuration(internal)
        configuration["common"]["security"] = {"tlsMode": 1}
        paths = {"serverPemPath": str(self.certificate.certificate), "serverKeyPath": str(self.certificate.key)}
        return {**configuration, "tls": paths}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "internal")


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, authority: Authority, tiny_repository: Path
) -> Iterator[Settings]:
    """Lead to the server as a client should go there."""
    state = tmp_path_factory.mktemp("tls")
    free = settings_on_free_ports(state, tiny_repository)
    service = TlsMilvus(free.local, Engines.locate(free.local.engines_dir), state / "milvus")
    service.certificate = authority.issue("localhost")
    server = RunningService(service, state / "milvus.log", free)
    server.start()
    try:
        server.wait_ready()
        milvus = MilvusSettings(
            uri=f"https://localhost:{free.local.milvus_port}", ca_file=authority.file, connect_timeout_s=PATIENCE_S
        )
        yield free.model_copy(update={"milvus": milvus})
    finally:
        server.stop()


async def _refusal(settings: Settings, **changed: Any) -> str:
    """How a client with other settings fails, at once."""
    async with await MilvusConnection.open(settings.milvus.model_copy(update=changed)) as connection:
        with pytest.raises(VectorStoreUnavailable) as refused:
            async with asyncio.timeout(AT_ONCE_S):
                await connection.server_version()
    return refused.value.message


async def test_the_authority_that_signed_lets_calls_through(settings: Settings) -> None:
    async with await MilvusConnection.open(settings.milvus) as connection:
        assert (await connection.server_version()).startswith("2.")
        assert await connection.client.list_collections(timeout=PATIENCE_S) == []


async def test_another_authority_is_no_reason_to_believe_the_server(settings: Settings, tmp_path: Path) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in await _refusal(settings, ca_file=Authority(tmp_path, "other").file)


async def test_public_authorities_know_no_internal_one(settings: Settings) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in await _refusal(settings, ca_file=None)


async def test_a_certificate_for_another_name_is_refused(settings: Settings) -> None:
    uri = settings.milvus.uri.replace("localhost", "127.0.0.1")
    assert "Hostname Verification Check failed" in await _refusal(settings, uri=uri)


async def test_a_client_without_tls_is_told_at_once(settings: Settings) -> None:
    await _refusal(settings, uri=settings.milvus.uri.replace("https", "http"), ca_file=None)


def _collections(settings: Settings) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vitrine.cli.app", "collections"]
    environment = {**os.environ, **environment_of(settings)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_a_command_finds_the_authority_in_its_environment(settings: Settings) -> None:
    ended = _collections(settings)
    assert ended.returncode == 0, ended.stderr


def test_a_command_tells_an_authority_that_is_none_in_a_sentence(settings: Settings, tmp_path: Path) -> None:
    nothing = settings.milvus.model_copy(update={"ca_file": tmp_path / "nothing.crt"})
    ended = _collections(settings.model_copy(update={"milvus": nothing}))
    assert ended.returncode == 2
    assert "VITRINE_MILVUS__CA_FILE" in ended.stderr
    assert "Traceback" not in ended.stderr
