"""The gateway as a local process, and the settings that make other processes meet this stack."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr

from vitrine.local.service import LOOPBACK, Launch, Port, answers_ok
from vitrine.settings import ENV_PREFIX, Settings

_CANARY_INTERVAL_S: Final = 60.0


def meeting_the_stack(settings: Settings) -> Settings:
    """The same settings with Triton's and Milvus's addresses where the local ports are.

    The gateway shows the demo catalogue's pictures unless another folder is set.
    """
    local = settings.local
    media_root = settings.gateway.media_root or local.demo_catalogue
    return settings.model_copy(
        update={
            "gateway": settings.gateway.model_copy(update={"media_root": media_root}),
            "triton": settings.triton.model_copy(update={"url": f"http://{LOOPBACK}:{local.triton_http_port}"}),
            "milvus": settings.milvus.model_copy(
                update={"uri": f"http://{LOOPBACK}:{local.milvus_port}", "ca_file": None}
            ),
        }
    )


def with_canary(settings: Settings) -> Settings:
    """Live recall is measured unless somebody says how often, or that it shall not be."""
    canary = settings.canary
    if "interval_s" in canary.model_fields_set:
        return settings
    return settings.model_copy(update={"canary": canary.model_copy(update={"interval_s": _CANARY_INTERVAL_S})})


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as environment variables, such that a process that reads them has the same; paths become absolute."""
    environment = {}
    for section_name in type(settings).model_fields:
        section: BaseModel = getattr(settings, section_name)
        for name in type(section).model_fields:
            text = _as_text(getattr(section, name))
            if text is not None:
                environment[f"{ENV_PREFIX}{section_name}__{name}".upper()] = text
    return environment


def _as_text(value: object) -> str | None:
    match value:
        case None:
            return None
        case SecretStr():
            return value.get_secret_value()
        case Path():
            return str(value.absolute())
        case str():
            return value
        case _:
            return json.dumps(value, default=str)


class GatewayService:
    """`python -m vitrine.gateway` with this Python.

    Args:
        settings: all of them; the gateway gets them as its environment.
        folder: its working directory.
    """

    name = "gateway"
    complaint = re.compile(r'"level":"(error|critical)"|^[\w.]+(Error|Exception): |cannot be used')

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = with_canary(meeting_the_stack(settings))
        self._folder = folder.absolute()

    @property
    def address(self) -> str:
        """The web page and the API."""
        host = self._settings.gateway.host
        shown = LOOPBACK if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self._settings.gateway.port}"

    @property
    def ports(self) -> tuple[Port, ...]:
        """HTTP, and that of metrics where they have one."""
        gateway, telemetry = self._settings.gateway, self._settings.telemetry
        api = Port(gateway.port, "VITRINE_GATEWAY__PORT", "the gateway", host=gateway.host)
        if telemetry.metrics_port is None:
            return (api,)
        setting = "VITRINE_TELEMETRY__METRICS_PORT"
        return (api, Port(telemetry.metrics_port, setting, "the gateway's metrics", host=telemetry.metrics_host))

    def prepare(self) -> Launch:
        """Makes its working directory."""
        self._folder.mkdir(parents=True, exist_ok=True)
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        environment = {**inherited, "PYTHONUNBUFFERED": "1", **environment_of(self._settings)}
        return Launch((sys.executable, "-m", "vitrine.gateway"), environment, self._folder)

    def is_ready(self) -> bool:
        """It answers at all. Whether a search works (/readyz) depends on an indexed collection, which comes later."""
        return answers_ok(self._settings.gateway.port, "/livez")

    def clean_up(self) -> None:
        """Leaves nothing behind."""
