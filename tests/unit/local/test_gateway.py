from pathlib import Path

import pytest
from pydantic import SecretStr

from vitrine.local.gateway import GatewayService, environment_of, meeting_the_stack
from vitrine.settings import GatewaySettings, LocalSettings, MilvusSettings, Settings, read_settings


def test_settings_come_back_from_their_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        gateway=GatewaySettings(port=1234, media_root=Path("/pictures"), host="0.0.0.0"),  # noqa: S104 - not bound
        milvus=MilvusSettings(token=SecretStr("root:secret"), search_timeout_s=0.25),
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    back = read_settings()
    assert back.gateway == settings.gateway
    assert back.milvus == settings.milvus
    assert back.telemetry == settings.telemetry


def test_relative_folders_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = environment_of(Settings())
    assert environment["VITRINE_LOCAL__STATE_DIR"] == str(tmp_path / ".vitrine")
    assert "VITRINE_GATEWAY__MEDIA_ROOT" not in environment


def test_the_gateway_is_led_to_the_local_ports(tmp_path: Path) -> None:
    settings = Settings(local=LocalSettings(triton_http_port=1111, milvus_port=2222))
    met = meeting_the_stack(settings)
    assert met.triton.url == "http://127.0.0.1:1111"
    assert met.milvus.uri == "http://127.0.0.1:2222"
    launch = GatewayService(settings, tmp_path / "gateway").prepare()
    assert launch.environment["VITRINE_MILVUS__URI"] == "http://127.0.0.1:2222"
    assert launch.command[1:] == ("-m", "vitrine.gateway")
    assert launch.directory.is_dir()


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "http://127.0.0.1:8080"), ("0.0.0.0", "http://127.0.0.1:8080"), ("::1", "http://[::1]:8080")],  # noqa: S104
)
def test_the_address_is_one_to_click_on(tmp_path: Path, host: str, address: str) -> None:
    assert GatewayService(Settings(gateway=GatewaySettings(host=host)), tmp_path).address == address
