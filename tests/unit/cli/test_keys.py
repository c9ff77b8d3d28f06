import json
import os
import re
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vitrine.cli.app import build_app
from vitrine.cli.key_file import KeyExists, KeyFile, KeyNotFound, KeysInvalid
from vitrine.errors import InvalidInput
from vitrine.gateway.auth.keys import ApiKey, digest_of, parse_keys
from vitrine.gateway.auth.principal import Scope


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def _run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["key", *arguments, "--file", str(path)], catch_exceptions=False)


def _create(path: Path, *arguments: str, key_id: str = "shop") -> Result:
    return _run(path, "create", "--id", key_id, "--scope", "search", "--collection", "products", *arguments)


def _entry(key_id: str) -> ApiKey:
    return ApiKey(id=key_id, sha256="0" * 64, scopes=frozenset({Scope.SEARCH}), collections="*")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_printed_alone_and_kept_as_a_hash(path: Path) -> None:
    done = _create(path, "--scope", "write", "--collection", "hats", "--rate", "50", "--burst", "100", "--note", "n")
    assert done.exit_code == 0
    key = done.stdout.strip()
    assert re.fullmatch(r"vitrine_shop_[0-9A-Za-z]{43}", key)
    assert key not in done.stderr
    assert key[-43:] not in path.read_text()
    (entry,) = parse_keys(path.read_bytes())
    assert entry.sha256 == digest_of(key).hex()
    assert (entry.scopes, entry.collections) == ({"search", "write"}, {"products", "hats"})
    assert entry.rate is not None
    assert (entry.rate.per_second, entry.rate.burst, entry.not_after, entry.note) == (50, 100, None, "n")


def test_a_rate_without_a_burst_has_one_of_two_seconds(path: Path) -> None:
    for key_id, rate, burst in (("a", "10", 20), ("b", "0.1", 1)):
        assert _create(path, "--rate", rate, key_id=key_id).exit_code == 0
        entry = KeyFile(path).read()[-1]
        assert entry.rate is not None
        assert entry.rate.burst == burst


def test_the_end_of_a_key_is_a_date_a_time_or_a_number_of_days(path: Path) -> None:
    year = datetime.now(UTC).year + 1
    for key_id, text in (("a", f"{year}-02-03"), ("b", f"{year}-02-03T04:05:06+01:00"), ("c", "90d")):
        assert _create(path, "--not-after", text, key_id=key_id).exit_code == 0
    date, moment, days = (key.not_after for key in KeyFile(path).read())
    assert date == datetime(year, 2, 3, tzinfo=UTC)
    assert moment == datetime(year, 2, 3, 3, 5, 6, tzinfo=UTC)
    assert days is not None
    assert abs(days - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--id", "Shop", "--scope", "search", "--collection", "products"],
        ["--id", "my_shop", "--scope", "search", "--collection", "products"],
        ["--id", "shop", "--scope", "search"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--all-collections"],
        ["--id", "shop", "--scope", "search", "--collection", "pro-ducts"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--burst", "2"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--rate", "0"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--rate", "nan"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--rate", "inf"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--rate", "1", "--burst", "0"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--rate", "1", "--burst", "-1"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--not-after", "2001-01-01"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--not-after", "2999-01-01T00:00:00"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--not-after", "soon"],
        ["--id", "shop", "--scope", "search", "--collection", "products", "--not-after", "99999999999d"],
    ],
)
def test_what_makes_no_key_leaves_no_file(path: Path, arguments: list[str]) -> None:
    with pytest.raises(InvalidInput):
        _run(path, "create", *arguments)
    assert list(path.parent.iterdir()) == []


def test_without_a_scope_there_is_no_key(path: Path) -> None:
    for arguments in (["--id", "a", "--all-collections"], ["--id", "a", "--all-collections", "--scope", "everything"]):
        assert _run(path, "create", *arguments).exit_code == 2
    assert not path.exists()


def test_without_a_file_nothing_is_guessed() -> None:
    with pytest.raises(InvalidInput, match="VITRINE_AUTH__KEYS_FILE"):
        CliRunner().invoke(build_app(), ["key", "list"], catch_exceptions=False)


def test_the_list_shows_everything_but_hashes(path: Path) -> None:
    _create(path, "--note", "for [b]tests")
    _run(path, "create", "--id", "ops", "--scope", "admin", "--all-collections", "--rate", "5")
    shown = _run(path, "list").stdout
    for word in ("shop", "search", "products", "for [b]tests", "ops", "admin", "all", "5/s"):
        assert word in shown
    assert not any(key.sha256[:8] in shown for key in KeyFile(path).read())


def test_a_revoked_key_is_gone_and_the_others_stay(path: Path) -> None:
    for key_id in ("a", "b", "c"):
        _create(path, key_id=key_id)
    assert _run(path, "revoke", "b").exit_code == 0
    assert [key.id for key in KeyFile(path).read()] == ["a", "c"]
    with pytest.raises(KeyNotFound, match="'b'"):
        _run(path, "revoke", "b")


def test_an_id_is_given_once(path: Path) -> None:
    _create(path)
    before = path.read_bytes()
    with pytest.raises(KeyExists):
        _create(path)
    assert path.read_bytes() == before


def test_a_new_file_is_its_owners_alone_whatever_the_umask(path: Path) -> None:
    before = os.umask(0)
    try:
        _create(path)
    finally:
        os.umask(before)
    assert _mode(path) == 0o600


def test_a_file_that_a_service_may_read_stays_readable_to_it(path: Path) -> None:
    _create(path)
    path.chmod(0o640)
    _create(path, key_id="other")
    assert _mode(path) == 0o640


def test_a_link_to_the_file_stays_a_link(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path)
    _create(link)
    assert link.is_symlink()
    assert len(KeyFile(path).read()) == 1


def test_a_broken_file_is_not_overwritten(path: Path) -> None:
    path.write_text('{"keys": [')
    for verb in (lambda: _create(path), lambda: _run(path, "revoke", "a"), lambda: _run(path, "list")):
        with pytest.raises(KeysInvalid, match="no file of keys"):
            verb()
    assert path.read_text() == '{"keys": ['


def test_a_folder_that_is_not_there_is_said_so(path: Path) -> None:
    with pytest.raises(KeysInvalid, match="cannot be opened"):
        _create(path.parent / "nothing" / "keys.json")


def test_a_failed_change_leaves_the_file_and_nothing_beside_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _create(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeysInvalid, match="No space left"):
        _create(path, key_id="other")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: KeyFile(path).add(_entry(f"k{n}")), range(40)))
    assert {key.id for key in KeyFile(path).read()} == {f"k{n}" for n in range(40)}


def test_as_a_command_it_prints_the_key_alone_and_refuses_in_one_sentence(path: Path) -> None:
    command = [sys.executable, "-m", "vitrine.cli.app", "key"]
    environment = {"PATH": "/usr/bin:/bin", "VITRINE_AUTH__KEYS_FILE": str(path)}
    create = [*command, "create", "--id", "ops", "--scope", "admin", "--all-collections"]
    first, second = (
        subprocess.run(create, env=environment, capture_output=True, text=True, timeout=60, check=False)
        for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert digest_of(first.stdout.strip()).hex() == json.loads(path.read_text())["keys"][0]["sha256"]
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.startswith("key_exists: ")
    assert "Traceback" not in second.stderr
