import logging
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.auth.conftest import AUDIENCE, ISSUER, Keys
from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.authenticator import auth_required, is_loopback, open_authenticator
from vitrine.gateway.auth.principal import Scope
from vitrine.settings import Settings
from vitrine.telemetry.metrics import GatewayMetrics

OIDC = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE}


def _settings(host: str = "127.0.0.1", **auth: Any) -> Settings:
    return Settings.model_validate({"gateway": {"host": host}, "auth": auth})


def _metrics() -> GatewayMetrics:
    return GatewayMetrics("0", (), (), ())


@pytest.mark.parametrize(
    ("host", "auth", "required"),
    [
        ("127.0.0.1", {}, False),
        ("localhost", {}, False),
        ("::1", {}, False),
        ("0.0.0.0", {}, True),  # noqa: S104 - not bound
        ("::", {}, True),
        ("", {}, True),
        ("10.1.2.3", {}, True),
        ("gateway.example", {}, True),
        ("127.0.0.1", {"keys_file": "/keys.json"}, True),
        ("127.0.0.1", {"oidc_issuer": ISSUER}, True),
        ("127.0.0.1", {"mode": "on"}, True),
        ("0.0.0.0", {"mode": "off"}, False),  # noqa: S104 - not bound
        ("127.0.0.1", {"mode": "off", "keys_file": "/keys.json"}, False),
    ],
)
def test_callers_must_be_known_unless_only_this_machine_can_call(
    host: str, auth: dict[str, Any], required: bool
) -> None:
    assert auth_required(_settings(host, **auth)) is required


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "x.localhost", "127.0.0.1", "127.255.0.1", "::1", "[::1]"])
def test_names_of_this_machine(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "localhos", "notlocalhost", "127.1", "0x7f.1", "::2", "a.b"])  # noqa: S104
def test_names_of_others(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("host", "auth", "told"),
    [
        ("0.0.0.0", {}, "VITRINE_AUTH__KEYS_FILE"),  # noqa: S104 - not bound
        ("127.0.0.1", {"mode": "on"}, "VITRINE_AUTH__KEYS_FILE"),
        ("127.0.0.1", {"keys_file": "/nothing/here"}, "/nothing/here cannot be used: No such file"),
        ("127.0.0.1", {"oidc_issuer": ISSUER}, "VITRINE_AUTH__OIDC_AUDIENCE"),
        ("127.0.0.1", OIDC, "one of VITRINE_AUTH__OIDC_JWKS_FILE"),
        ("127.0.0.1", {**OIDC, "oidc_jwks_file": "/x", "oidc_jwks_url": "https://x"}, "one of VITRINE_AUTH__OIDC"),
        ("127.0.0.1", {**OIDC, "oidc_jwks_file": "/nothing/here"}, "/nothing/here cannot be used"),
        ("127.0.0.1", {**OIDC, "oidc_jwks_url": "http://issuer.example/jwks"}, "https address"),
        ("127.0.0.1", {**OIDC, "oidc_jwks_url": "https://u:p@issuer.example/jwks"}, "without a password"),
        ("127.0.0.1", {**OIDC, "oidc_jwks_url": "https://["}, "https address"),
        ("127.0.0.1", {"mode": "on", "oidc_jwks_url": "https://x", "keys_file": "KEYS"}, "VITRINE_AUTH__OIDC_ISSUER"),
    ],
)
def test_a_start_that_would_let_nobody_in_or_everybody_is_refused(
    host: str, auth: dict[str, Any], told: str, keys: Keys
) -> None:
    keys.add("shop", Scope.SEARCH)
    if auth.get("keys_file") == "KEYS":
        auth = {**auth, "keys_file": keys.path}
    with pytest.raises(SettingsInvalid) as caught:
        open_authenticator(_settings(host, **auth), _metrics())
    assert told in caught.value.message
    assert "u:p" not in caught.value.message


@pytest.mark.parametrize("algorithms", [["HS256"], ["none"], ["RS256", "HS512"], []])
def test_algorithms_with_a_shared_secret_cannot_be_set(algorithms: list[str]) -> None:
    with pytest.raises(ValueError, match="oidc_algorithms"):
        _settings(oidc_algorithms=algorithms)


def test_letting_everybody_in_from_everywhere_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    assert open_authenticator(_settings("0.0.0.0", mode="off"), _metrics()) is None  # noqa: S104 - not bound
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    caplog.clear()
    assert open_authenticator(_settings(), _metrics()) is None
    assert caplog.records == []


def test_an_empty_file_of_keys_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"keys": []}')
    path.chmod(0o600)
    caplog.set_level(logging.WARNING)
    assert open_authenticator(_settings(keys_file=str(path)), _metrics()) is not None
    assert len(caplog.records) == 1


async def test_an_address_of_keys_is_not_asked_before_the_watch_begins() -> None:
    settings = _settings(**OIDC, oidc_jwks_url="https://issuer.invalid/jwks")
    authenticator = open_authenticator(settings, _metrics())
    assert authenticator is not None
    assert authenticator._issuer_keys is not None
    assert authenticator._issuer_keys.current is None
    await authenticator._issuer_keys.close()
