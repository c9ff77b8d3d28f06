"""Prometheus as a local process, with the very rules that the chart installs; only where its program is there."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Final

from vitrine.local.errors import RulesMissing, StateUnusable
from vitrine.local.scraping import prometheus_configuration
from vitrine.local.service import LOOPBACK, Launch, Port, answers_ok
from vitrine.settings import LocalSettings, Settings

RULE_FOLDERS: Final = ("recording", "alerts")
# The budgets are of 30 days; whichever of the two is reached first ends what is kept.
KEPT_FOR: Final = "30d"
KEPT_BYTES: Final = "256MB"


def find_prometheus(settings: LocalSettings) -> Path | None:
    """The program, or None when it is not to be started: `why_without` says why."""
    return None if why_without(settings) else _program(settings)


def why_without(settings: LocalSettings) -> str:
    """One sentence when `vitrine up` starts no Prometheus; empty when it does."""
    if not settings.prometheus:
        return "Prometheus is not started: VITRINE_LOCAL__PROMETHEUS is empty."
    if _program(settings) is None:
        return (
            f"Prometheus is not started: there is no program {settings.prometheus!r} "
            "(VITRINE_LOCAL__PROMETHEUS names another); everything else is as with it."
        )
    if not settings.monitoring_dir.is_dir():
        return (
            f"Prometheus is not started: there is no folder {settings.monitoring_dir.absolute()} with its rules "
            "(VITRINE_LOCAL__MONITORING_DIR names another)."
        )
    return ""


def _program(settings: LocalSettings) -> Path | None:
    found = shutil.which(settings.prometheus)
    return Path(found) if found else None


def rule_files(folder: Path) -> tuple[Path, ...]:
    """Every rule file of a monitoring folder: of its `recording`, then of its `alerts`.

    Raises:
        RulesMissing: there is none; a Prometheus without rules would show a silence that means nothing.
    """
    found = tuple(path for name in RULE_FOLDERS for path in sorted((folder.absolute() / name).glob("*.yaml")))
    if not found:
        raise RulesMissing(
            f"There are no rules for Prometheus in {folder.absolute()}; VITRINE_LOCAL__MONITORING_DIR names another "
            "folder, and an empty VITRINE_LOCAL__PROMETHEUS starts none."
        )
    return found


class PrometheusService:
    """Listens on loopback; keeps its data in the state folder.

    Args:
        settings: all of them: what is scraped is where they say.
        program: Prometheus itself.
        folder: this service's part of the state folder.

    Raises:
        RulesMissing: see `rule_files`.
    """

    name = "prometheus"
    complaint = re.compile(r"level=(error|warn)\b|level=(ERROR|WARN)\b|^Error|^panic:")

    def __init__(self, settings: Settings, program: Path, folder: Path) -> None:
        self._settings = settings
        self._program = program.absolute()
        self._folder = folder.absolute()
        rule_files(settings.local.monitoring_dir)

    @property
    def address(self) -> str:
        """Its web page and API."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def ports(self) -> tuple[Port, ...]:
        """HTTP."""
        return (Port(self._port, "VITRINE_LOCAL__PROMETHEUS_PORT", "Prometheus"),)

    def prepare(self) -> Launch:
        """Writes the configuration; a broken rule file is Prometheus's to report, and it names the file.

        Raises:
            RulesMissing: the rules were taken away.
            StateUnusable: the folder cannot be written.
        """
        rules = rule_files(self._settings.local.monitoring_dir)
        content = prometheus_configuration(self._settings, [str(path) for path in rules])
        configuration = self._folder / "prometheus.yml"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            configuration.write_text(json.dumps(content, indent=2), encoding="utf-8")  # JSON is YAML
        except OSError as error:
            raise StateUnusable(
                f"Prometheus's configuration cannot be written to {self._folder}: {error.strerror}."
            ) from error
        command = (
            str(self._program),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--storage.tsdb.retention.time={KEPT_FOR}",
            f"--storage.tsdb.retention.size={KEPT_BYTES}",
            f"--web.listen-address={LOOPBACK}:{self._port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        )
        return Launch(command, {"PATH": os.defpath}, self._folder)

    def is_ready(self) -> bool:
        """It has its rules and answers queries."""
        return answers_ok(self._port, "/-/ready")

    def clean_up(self) -> None:
        """Leaves nothing behind."""

    @property
    def _port(self) -> int:
        return self._settings.local.prometheus_port
