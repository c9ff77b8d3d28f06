import asyncio
import hmac
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.errors import Unauthenticated
from vitrine.gateway.auth.keyring import Keyring
from vitrine.gateway.auth.keys import ApiKey, digest_of, new_key, render_keys
from vitrine.gateway.auth.principal import Scope

END = datetime(2030, 1, 1, tzinfo=UTC)


def _entry(key: str, key_id: str = "shop", not_after: datetime | None = None) -> ApiKey:
    scopes = frozenset({Scope.SEARCH})
    return ApiKey(id=key_id, sha256=digest_of(key).hex(), scopes=scopes, collections="*", not_after=not_after)


def _reason(keyring: Keyring, key: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        keyring.principal_of(key)
    return caught.value.reason


@pytest.fixture
def stale() -> Gauge:
    return Gauge("stale", "x", registry=CollectorRegistry())


def _value(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """As `vitrine key` does: another file takes the place."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(mode)
    new.replace(path)


def test_the_right_key_is_its_principal(path: Path, stale: Gauge) -> None:
    key = new_key("shop")
    _write(path, render_keys([_entry(key)]))
    assert Keyring(path, stale).principal_of(key).id == "key:shop"


def test_every_other_key_is_refused_and_the_reason_is_kept_for_the_log(path: Path, stale: Gauge) -> None:
    key = new_key("shop")
    _write(path, render_keys([_entry(key)]))
    keyring = Keyring(path, stale)
    assert _reason(keyring, new_key("shop")) == "wrong secret"
    assert _reason(keyring, new_key("other")) == "unknown key"
    assert _reason(keyring, key[:-1]) == "malformed key"
    assert _reason(keyring, key.replace("vitrine_shop", "vitrine_shop2")) == "unknown key"


def test_an_unknown_id_is_compared_too(path: Path, stale: Gauge, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(path, render_keys([_entry(new_key("shop"))]))
    keyring = Keyring(path, stale)
    compared: list[tuple[int, int]] = []
    true_compare = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return true_compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in (new_key("shop"), new_key("other")):
        _reason(keyring, key)
    assert compared == [(32, 32)] * 2


def test_a_key_ends_at_its_moment(path: Path, stale: Gauge) -> None:
    key = new_key("shop")
    _write(path, render_keys([_entry(key, not_after=END)]))
    now = END.timestamp() - 1
    keyring = Keyring(path, stale, clock=lambda: now)
    assert keyring.principal_of(key).id == "key:shop"
    now += 1
    assert _reason(keyring, key) == "expired key"


def test_a_changed_file_is_in_force_after_a_refresh(path: Path, stale: Gauge) -> None:
    first, second = new_key("first"), new_key("second")
    _write(path, render_keys([_entry(first, "first")]))
    keyring = Keyring(path, stale)
    _write(path, render_keys([_entry(second, "second")]))
    asyncio.run(keyring.refresh())
    assert keyring.principal_of(second).id == "key:second"
    assert _reason(keyring, first) == "unknown key"


def test_a_change_of_the_same_size_within_a_tick_of_the_clock_is_noticed(path: Path, stale: Gauge) -> None:
    first, second = new_key("shop"), new_key("shop")
    path.write_bytes(render_keys([_entry(first)]))
    before = path.stat()
    keyring = Keyring(path, stale)
    path.write_bytes(render_keys([_entry(second)]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    asyncio.run(keyring.refresh())
    assert keyring.principal_of(second).id == "key:shop"


def test_a_file_that_stays_the_same_is_not_read_again(
    path: Path, stale: Gauge, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(path, render_keys([_entry(new_key("shop"))]))
    os.utime(path, (1, 1))
    keyring = Keyring(path, stale)
    opened: list[object] = []
    monkeypatch.setattr(os, "open", lambda *arguments, **_: opened.append(arguments))
    asyncio.run(keyring.refresh())
    assert opened == []


def test_a_link_that_leads_elsewhere_is_another_file(tmp_path: Path, path: Path, stale: Gauge) -> None:
    first, second = new_key("shop"), new_key("shop")
    for name, key in (("one", first), ("two", second)):
        (tmp_path / name).write_bytes(render_keys([_entry(key)]))
        os.utime(tmp_path / name, (1, 1))
    path.symlink_to("one")
    keyring = Keyring(path, stale)
    (tmp_path / "link").symlink_to("two")
    (tmp_path / "link").replace(path)
    asyncio.run(keyring.refresh())
    assert keyring.principal_of(second).id == "key:shop"


@pytest.mark.parametrize("broken", [b"{", b'{"keys": [{"id": "x"}]}', b" " * (4 * 1024 * 1024 + 1), None])
def test_a_broken_or_missing_file_leaves_the_last_good_keys_and_is_told_once(
    path: Path, stale: Gauge, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    key, later = new_key("shop"), new_key("later")
    _write(path, render_keys([_entry(key)]))
    keyring = Keyring(path, stale)
    assert _value(stale) == 0
    if broken is None:
        path.unlink()
    else:
        _write(path, broken)
    for _ in range(3):
        asyncio.run(keyring.refresh())
        assert _value(stale) == 1
        assert keyring.principal_of(key).id == "key:shop"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    _write(path, render_keys([_entry(later, "later")]))
    asyncio.run(keyring.refresh())
    assert _value(stale) == 0
    assert keyring.principal_of(later).id == "key:later"
    assert _reason(keyring, key) == "unknown key"
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "INFO"]


@pytest.mark.parametrize("content", [None, b"", b"no"])
def test_without_a_usable_file_there_is_no_keyring(path: Path, stale: Gauge, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsInvalid, match="VITRINE_AUTH__KEYS_FILE"):
        Keyring(path, stale)


def test_a_folder_or_a_pipe_is_refused_at_once(tmp_path: Path, stale: Gauge) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SettingsInvalid, match="VITRINE_AUTH__KEYS_FILE"):
            Keyring(path, stale)


@pytest.mark.parametrize(("mode", "warnings"), [(0o600, 0), (0o640, 0), (0o644, 1)])
def test_a_file_that_everybody_may_read_is_warned_of(
    path: Path, stale: Gauge, mode: int, warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    _write(path, render_keys([]), mode)
    Keyring(path, stale)
    assert len(caplog.records) == warnings
