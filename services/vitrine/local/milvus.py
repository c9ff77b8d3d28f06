"""Milvus as a local process: the standalone server of the `milvus` package, etcd and message queue inside."""

import json
import os
import re
from pathlib import Path
from typing import Any, Final

import psutil

from vitrine.local.engines import Engines
from vitrine.local.errors import StateUnusable
from vitrine.local.milvus_sessions import end_dead_sessions
from vitrine.local.ports import choose_free, is_free
from vitrine.local.service import HUGE_PAGES, LOOPBACK, Launch, Port, answers_ok
from vitrine.settings import LocalSettings

INTERNAL_ROLES: Final = (
    "rootCoord",
    "queryCoord",
    "queryNode",
    "dataCoord",
    "dataNode",
    "indexNode",
    "proxyInternal",
    "etcdPeer",
)
# The server writes its process id there whatever its configuration says; /run/milvus when it may.
RUNTIME_FOLDER: Final = Path("/tmp/milvus")  # noqa: S108 - fixed in the server
# Longest the server waits for queries in flight when it is told to stop. A single query node can hand its segments to
# nobody, so it always waits as long as it may.
GRACEFUL_STOP_S: Final = 1


class MilvusService:
    """Keeps its data in the state folder.

    Args:
        settings: ports and time limits.
        engines: where the server is.
        folder: this service's part of the state folder.
    """

    name = "milvus"
    complaint = re.compile(r"^panic:|\[(FATAL|PANIC)\]|failed, set it|directory at .* failed|no space left")

    def __init__(self, settings: LocalSettings, engines: Engines, folder: Path) -> None:
        self._settings = settings
        self._engines = engines
        self._folder = folder.absolute()
        self._settled = False

    @property
    def address(self) -> str:
        """URI for clients."""
        return f"http://{LOOPBACK}:{self._settings.milvus_port}"

    @property
    def ports(self) -> tuple[Port, ...]:
        """Those that settings name; the ones between its parts are the stack's own choice."""
        settings = self._settings
        return (
            Port(settings.milvus_port, "VITRINE_LOCAL__MILVUS_PORT", "Milvus", host=""),
            Port(settings.milvus_metrics_port, "VITRINE_LOCAL__MILVUS_METRICS_PORT", "Milvus's metrics", host=""),
            Port(settings.etcd_port, "VITRINE_LOCAL__ETCD_PORT", "the etcd inside Milvus"),
        )

    def prepare(self) -> Launch:
        """Writes the configuration.

        Raises:
            StateUnusable: the folder cannot be written, or Milvus's fixed runtime folder belongs to someone else.
        """
        if os.geteuid() != 0 and RUNTIME_FOLDER.exists() and not os.access(RUNTIME_FOLDER, os.W_OK | os.X_OK):
            raise StateUnusable(
                f"Milvus keeps its process id in {RUNTIME_FOLDER}, which belongs to another user of this machine; "
                "it must be removed, or made writable for you."
            )
        self._settled = False
        binaries = self._engines.unpacked_milvus()
        try:
            (self._folder / "configs").mkdir(parents=True, exist_ok=True)
            (self._folder / "data").mkdir(exist_ok=True)
            internal = self._internal_ports()
            self._write("milvus.yaml", json.dumps(self._configuration(internal), indent=2))
            self._write("etcd.yaml", json.dumps(self._etcd_configuration(internal), indent=2))
            self._write("glog.conf", "--logtostderr=true\n--minloglevel=1\n")
        except OSError as error:
            raise StateUnusable(
                f"Milvus's configuration cannot be written to {self._folder}: {error.strerror}."
            ) from error
        environment = {
            "PATH": os.defpath,
            "LD_LIBRARY_PATH": str(binaries),
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._settings.milvus_metrics_port),
            "MILVUSCONF": str(self._folder / "configs"),
            **HUGE_PAGES,
        }
        return Launch((str(binaries / "milvus"), "run", "standalone"), environment, self._folder)

    def is_ready(self) -> bool:
        """All of its roles are healthy, and none of an earlier process is taken for alive."""
        healthy = answers_ok(self._settings.milvus_metrics_port, "/healthz")
        if not self._settled:
            end_dead_sessions(self._settings.etcd_port)
            self._settled = healthy
        return healthy

    def clean_up(self) -> None:
        """Removes the notes that dead servers left in the runtime folder."""
        for note in RUNTIME_FOLDER.glob("server_id_*"):
            pid = note.name.rpartition("_")[2]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)) and os.access(RUNTIME_FOLDER, os.W_OK):
                note.unlink(missing_ok=True)

    def _write(self, name: str, text: str) -> None:
        (self._folder / "configs" / name).write_text(text, encoding="utf-8")

    def _internal_ports(self) -> dict[str, int]:
        """The same ports as last time while they are free.

        A restarting role takes over its predecessor's session at once when the address is the same; otherwise it waits
        for the session to expire, which makes a start of 3 s one of over 60 s.
        """
        record = self._folder / "ports.json"
        try:
            ports: dict[str, int] = json.loads(record.read_text(encoding="utf-8"))
            if set(ports) == set(INTERNAL_ROLES) and all(is_free(port, "") for port in ports.values()):
                return ports
        except (OSError, ValueError):
            pass
        ports = dict(zip(INTERNAL_ROLES, choose_free(len(INTERNAL_ROLES)), strict=True))
        record.write_text(json.dumps(ports), encoding="utf-8")
        return ports

    def _configuration(self, internal: dict[str, int]) -> dict[str, Any]:
        """milvus.yaml (JSON is YAML). What is not here keeps the server's default."""
        data = self._folder / "data"
        roles = {role: {"ip": LOOPBACK, "port": internal[role]} for role in INTERNAL_ROLES[:6]}
        roles["rootCoord"]["dmlChannelNum"] = (
            4  # of 16: each channel costs memory and wake-ups, and there are few writers
        )
        return {
            **roles,
            "proxy": {
                "ip": LOOPBACK,
                "port": self._settings.milvus_port,
                "internalPort": internal["proxyInternal"],
                "http": {"enabled": False},
            },
            "etcd": {
                "endpoints": f"{LOOPBACK}:{self._settings.etcd_port}",
                "use": {"embed": True},
                "config": {"path": str(self._folder / "configs" / "etcd.yaml")},
                "data": {"dir": str(data / "etcd")},
            },
            "localStorage": {"path": str(data)},
            "mq": {"type": "rocksmq"},
            "rocksmq": {"path": str(data / "rocksmq"), "retentionSizeInMB": 1024},
            "common": {"storageType": "local", "gracefulStopTimeout": GRACEFUL_STOP_S},
            # Off is the server's default without its own template, and then it never ends: the part that counts
            # quotas is not started, but is waited for at the stop.
            "quotaAndLimits": {"enabled": True},
            # Between parts of one process: a quick second try instead of back-offs of seconds makes starts 3 s shorter.
            "grpc": {"client": {"maxMaxAttempts": 10, "initialBackOff": 0.05, "maxBackoff": 0.1}},
            **self._tracing(),
            "log": {"level": "warn", "stdout": True, "file": {"rootPath": ""}},
        }

    def _tracing(self) -> dict[str, Any]:
        """Spans of calls that come with a sampled trace's context, and of no others."""
        endpoint = self._settings.milvus_otlp_endpoint
        if not endpoint:
            return {}
        return {"trace": {"exporter": "otlp", "sampleFraction": 0, "otlp": {"endpoint": endpoint, "secure": False}}}

    def _etcd_configuration(self, internal: dict[str, int]) -> dict[str, Any]:
        client = f"http://{LOOPBACK}:{self._settings.etcd_port}"
        peer = f"http://{LOOPBACK}:{internal['etcdPeer']}"
        return {
            "name": "default",
            "data-dir": str(self._folder / "data" / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "log-level": "warn",
            "enable-grpc-gateway": True,
        }
