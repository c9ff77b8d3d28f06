import argparse
from pathlib import Path

import pytest

from loadtest.options import Plan, add_options, credentials, require_host
from loadtest.shapes import SHAPES, LoadRefused


def _plan(*arguments: str) -> Plan:
    parser = argparse.ArgumentParser()
    add_options(parser)
    plan = Plan.of(parser.parse_args(arguments))
    plan.thresholds()
    return plan


def test_a_shape_brings_what_nobody_says_otherwise() -> None:
    plan = _plan("--shape", "spike")
    assert plan.stages == SHAPES["spike"].stages()
    assert plan.in_flight == SHAPES["spike"].in_flight
    assert plan.scratch is None
    assert _plan("--shape", "spike", "--rate", "3", "--duration", "9").seconds == pytest.approx(12)
    assert _plan("--write-collection", "scratch").scratch == "scratch"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--in-flight", "0"),
        ("--in-flight", "10001"),
        ("--patience", "0"),
        ("--timeout", "61"),
        ("--rate", "0"),
        ("--duration", "90000"),
        ("--thresholds", "none.toml"),
        ("--collection", "a", "--write-collection", "a"),
    ],
)
def test_what_is_out_of_bounds_is_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(LoadRefused):
        _plan(*arguments)


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080/", "http://127.9.9.9"]
)
def test_this_machine_may_be_loaded(host: str) -> None:
    assert require_host(host, allow_remote=False) == host.rstrip("/")


@pytest.mark.parametrize(
    "host", ["https://shop.example", "http://10.0.0.1", "http://localhost.example", "http://0.0.0.0"]
)
def test_another_machine_is_loaded_only_when_somebody_says_so(host: str) -> None:
    with pytest.raises(LoadRefused, match="--allow-remote"):
        require_host(host, allow_remote=False)
    assert require_host(host, allow_remote=True) == host


@pytest.mark.parametrize("host", [None, "", "shop.example", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_no_host(host: str | None) -> None:
    with pytest.raises(LoadRefused, match="--host names the gateway"):
        require_host(host, allow_remote=True)


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VITRINE_API_KEY", raising=False)
    assert credentials() == {}
    monkeypatch.setenv("VITRINE_API_KEY", "vitrine_shop_x")
    assert credentials() == {"Authorization": "Bearer vitrine_shop_x"}


def test_the_output_is_a_folder_of_the_callers() -> None:
    assert _plan("--output", "somewhere").output == Path("somewhere")
