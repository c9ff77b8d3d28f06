import subprocess
import sys
from pathlib import Path

import pytest

from vitrine.errors import SettingsInvalid
from vitrine.settings import read_settings

ROOT = Path(__file__).parents[2]


def test_a_setting_is_read_from_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_GATEWAY__PORT", "9999")
    assert read_settings().gateway.port == 9999


@pytest.mark.parametrize("variable", ["VITRINE_GATWAY__PORT", "VITRINE_GATEWAY__PROT", "VITRINE_PORT"])
def test_a_misspelt_variable_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsInvalid, match=variable):
        read_settings()


def test_a_value_out_of_range_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_GATEWAY__PORT", "70000")
    with pytest.raises(SettingsInvalid, match="VITRINE_GATEWAY__PORT"):
        read_settings()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://triton", "http://[::1]:8000", "http://triton.shop:80/"]
)
def test_triton_is_at_an_http_address(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("VITRINE_TRITON__URL", url)
    assert read_settings().triton.url == url


@pytest.mark.parametrize(
    "url",
    [
        *("127.0.0.1:8001", "dns:///triton:8001", "https://triton:8000", "http://", "http://:8000", "triton", ""),
        *(
            "http://triton:port",
            "http://triton:0",
            "http://triton:8000/v2",
            "http://triton:8000?x",
            "http://me@triton:8000",
        ),
    ],
)
def test_what_is_no_address_of_triton_is_an_error_that_says_what_is(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("VITRINE_TRITON__URL", url)
    with pytest.raises(SettingsInvalid, match=r"VITRINE_TRITON__URL.*http://host:port"):
        read_settings()


def test_a_secret_does_not_show_in_the_settings_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_MILVUS__TOKEN", "root:opensesame")
    settings = read_settings()
    assert settings.milvus.token.get_secret_value() == "root:opensesame"
    assert "opensesame" not in repr(settings)


def test_the_configuration_page_lists_the_settings_as_they_are() -> None:
    script = ROOT / "docs" / "make_configuration.py"
    subprocess.run([sys.executable, script, "--check"], check=True, timeout=60)
