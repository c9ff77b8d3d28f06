"""Certificates are verified for the host's name, although the connection goes to an address."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.gateway.remote_images.conftest import (
    HOST,
    PICTURE,
    Network,
    OpenFetching,
    OpenOrigin,
    answer,
    redirect,
    wait_for,
)
from vitrine.domain import Deadline
from vitrine.errors import ImageUrlFailed, ImageUrlRefused
from vitrine.gateway.remote_images.fetching import open_remote_images
from vitrine.settings import ImageSettings, RemoteImageSettings

PUBLIC = "93.184.215.14"
HTTPS = {"schemes": ("https",)}


@dataclass(frozen=True)
class Authority:
    """Signs certificates of servers, in files below a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("Test authority")
        certificate = (
            _certificate(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(folder, key, certificate)

    @property
    def file(self) -> Path:
        path = self.folder / "authority.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def trusting(self) -> ssl.SSLContext:
        """For a client."""
        return ssl.create_default_context(cafile=str(self.file))

    def serving(self, host: str, days: int = 1) -> ssl.SSLContext:
        """For a server of one host."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(_name(host), self.certificate.subject, key, days)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{host}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int = 1
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


async def test_the_name_is_shown_and_verified_not_the_address(
    open_origin: OpenOrigin, open_fetching: OpenFetching, authority: Authority
) -> None:
    origin = await open_origin({"/a.jpg": answer()}, authority.serving(HOST))
    network = Network(routes={PUBLIC: origin.port})
    fetching = open_fetching([443], names={HOST: [[PUBLIC]]}, network=network, tls=authority.trusting(), **HTTPS)
    assert await fetching.fetch(f"https://{HOST}/a.jpg") == PICTURE
    assert network.connected == [(PUBLIC, 443)]
    assert origin.server_names == [HOST]
    assert f"Host: {HOST}\r\n".encode() in origin.requests[0]


async def test_a_certificate_of_another_name_fails(
    open_origin: OpenOrigin, open_fetching: OpenFetching, authority: Authority
) -> None:
    origin = await open_origin({"/a.jpg": answer()}, authority.serving("other.example.com"))
    fetching = open_fetching([origin.port], tls=authority.trusting(), **HTTPS)
    with pytest.raises(ImageUrlFailed) as caught:
        await fetching.fetch(f"https://{HOST}:{origin.port}/a.jpg")
    assert caught.value.details == {"reason": "tls"}
    assert origin.requests == []


async def test_a_certificate_that_has_expired_fails(
    open_origin: OpenOrigin, open_fetching: OpenFetching, authority: Authority
) -> None:
    origin = await open_origin({"/a.jpg": answer()}, authority.serving(HOST, days=-1))
    fetching = open_fetching([origin.port], tls=authority.trusting(), **HTTPS)
    with pytest.raises(ImageUrlFailed) as caught:
        await fetching.fetch(f"https://{HOST}:{origin.port}/a.jpg")
    assert caught.value.details == {"reason": "tls"}


async def test_an_authority_that_nobody_trusts_fails(
    open_origin: OpenOrigin, open_fetching: OpenFetching, authority: Authority
) -> None:
    origin = await open_origin({"/a.jpg": answer()}, authority.serving(HOST))
    with pytest.raises(ImageUrlFailed) as caught:
        await open_fetching([origin.port], **HTTPS).fetch(f"https://{HOST}:{origin.port}/a.jpg")
    assert caught.value.details == {"reason": "tls"}
    assert origin.requests == []


async def test_a_server_that_does_not_shake_hands_is_left_in_time(
    open_origin: OpenOrigin, open_fetching: OpenFetching
) -> None:
    """It speaks HTTP without TLS, and waits for the end of what it takes for a request."""
    origin = await open_origin()
    with pytest.raises(ImageUrlFailed) as caught:
        await open_fetching([origin.port], timeout_s=0.3, **HTTPS).fetch(f"https://{HOST}:{origin.port}/a.jpg")
    assert caught.value.details["reason"] == "timeout"
    await wait_for(lambda: origin.connections == 1 and not origin.open)


async def test_a_redirect_that_gives_up_encryption_is_refused(
    open_origin: OpenOrigin, open_fetching: OpenFetching, authority: Authority
) -> None:
    canary = await open_origin({"/a.jpg": answer()})
    origin = await open_origin({"/a.jpg": redirect(f"http://{HOST}:{canary.port}/a.jpg")}, authority.serving(HOST))
    fetching = open_fetching([origin.port, canary.port], tls=authority.trusting(), schemes=("https", "http"))
    with pytest.raises(ImageUrlRefused) as caught:
        await fetching.fetch(f"https://{HOST}:{origin.port}/a.jpg")
    assert caught.value.details == {"reason": "scheme"}
    assert canary.connections == 0


async def test_an_operators_own_authority_is_named_by_the_environment(
    open_origin: OpenOrigin, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = await open_origin({"/a.jpg": answer()}, authority.serving("localhost"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    settings = RemoteImageSettings(
        hosts=("localhost",), ports=(origin.port,), private_networks=("127.0.0.0/8", "::1/128")
    )
    async with open_remote_images(settings, ImageSettings()) as images:
        assert images is not None
        address = f"https://localhost:{origin.port}/a.jpg"
        assert await images.fetch(address, Deadline.after(20)) == PICTURE
