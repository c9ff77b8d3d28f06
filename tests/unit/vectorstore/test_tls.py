"""Authorities as files. A real Milvus with a certificate is in tests/integration/vectorstore/test_tls.py."""

import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.fixtures.certificates import Authority
from vitrine.errors import SettingsInvalid
from vitrine.gateway.app import create_app
from vitrine.settings import AuthSettings, MilvusSettings, Settings
from vitrine.vectorstore.bulk_import import _http_client
from vitrine.vectorstore.connection import MilvusConnection
from vitrine.vectorstore.tls import trusted_authorities

HTTPS = "https://milvus:19530"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "internal")


def test_without_a_file_the_public_authorities_are_meant() -> None:
    assert trusted_authorities(MilvusSettings(uri=HTTPS)) is None


def test_a_file_stands_for_its_authorities_and_no_others(authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.crt"
    both.write_bytes(authority.file.read_bytes() + Authority(tmp_path, "other").file.read_bytes())
    context = trusted_authorities(MilvusSettings(uri=HTTPS, ca_file=both))
    assert context is not None
    assert context.cert_store_stats()["x509"] == 2
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def _unusable(folder: Path, kind: str) -> Path:
    path = folder / "authority.crt"
    match kind:
        case "a folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "no PEM":
            path.write_bytes(b"\x30\x82\x01\x00" * 100)
        case "a key":
            return Authority(folder, "internal").issue("milvus").key
        case "half a certificate":
            path.write_bytes(Authority(folder, "internal").file.read_bytes()[:300])
    return path


@pytest.mark.parametrize("kind", ["missing", "a folder", "empty", "no PEM", "a key", "half a certificate"])
async def test_a_file_that_is_none_is_told_before_anything_is_connected(tmp_path: Path, kind: str) -> None:
    settings = MilvusSettings(uri=HTTPS, ca_file=_unusable(tmp_path, kind))
    with pytest.raises(SettingsInvalid, match=r"^VITRINE_MILVUS__CA_FILE: .*(cannot be read|has no certificate)"):
        trusted_authorities(settings)
    with pytest.raises(SettingsInvalid, match="VITRINE_MILVUS__CA_FILE"):
        await MilvusConnection.open(settings)
    with pytest.raises(SettingsInvalid, match="VITRINE_MILVUS__CA_FILE"):
        create_app(Settings(milvus=settings, auth=AuthSettings(mode="off")))


def test_an_authority_for_an_address_without_tls_is_refused(authority: Authority) -> None:
    settings = MilvusSettings(uri="http://milvus:19530", ca_file=authority.file)
    with pytest.raises(SettingsInvalid, match="is no https:// address"):
        trusted_authorities(settings)


class _Rest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing on stderr."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_arguments: object) -> None:
        """A refused handshake is what the tests want."""


@pytest.fixture
def port(authority: Authority) -> Iterator[int]:
    """Of a server with a certificate for `localhost`."""
    issued = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    with _Server(("127.0.0.1", 0), _Rest) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def test_the_rest_interface_believes_the_same_authority(authority: Authority, port: int, tmp_path: Path) -> None:
    settings = MilvusSettings(uri=f"https://localhost:{port}", ca_file=authority.file)
    async with _http_client(settings) as client:
        assert (await client.get("/")).status_code == 204
    other = Authority(tmp_path, "other").file
    for unbelieving in (settings.model_copy(update={"ca_file": other}), settings.model_copy(update={"ca_file": None})):
        async with _http_client(unbelieving) as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get("/")
    named = settings.model_copy(update={"uri": f"https://127.0.0.1:{port}"})
    async with _http_client(named) as client:
        with pytest.raises(httpx.ConnectError, match="IP address mismatch"):
            await client.get("/")


def test_an_https_address_without_a_port_is_the_same_for_both_interfaces() -> None:
    assert _http_client(MilvusSettings(uri="https://milvus")).base_url == "https://milvus"
