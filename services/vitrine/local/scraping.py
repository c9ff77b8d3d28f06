"""What a Prometheus beside the embedded stack scrapes: the one place that says so."""

from typing import Any, Final

from vitrine.local.service import LOOPBACK
from vitrine.settings import Settings

LONGEST_SCRAPE_S: Final = 10.0
_ANY: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound


def scrape_configs(settings: Settings) -> list[dict[str, Any]]:
    """`scrape_configs` of prometheus.yml for the processes of `vitrine up`.

    The names of the jobs are those that alerts ask `up` for (docs/slo.md).
    """
    local = settings.local
    targets = {
        "vitrine-gateway": _gateway(settings),
        "vitrine-triton": f"{LOOPBACK}:{local.triton_metrics_port}",
        "milvus": f"{LOOPBACK}:{local.milvus_metrics_port}",
    }
    return [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]


def prometheus_configuration(settings: Settings, rule_files: list[str]) -> dict[str, Any]:
    """The whole of prometheus.yml.

    Args:
        settings: ports, and the time between two scrapes.
        rule_files: absolute paths.
    """
    interval_s = settings.local.scrape_interval_s
    return {
        "global": {
            "scrape_interval": _duration(interval_s),
            "scrape_timeout": _duration(min(interval_s, LONGEST_SCRAPE_S)),
            "evaluation_interval": _duration(interval_s),
        },
        "rule_files": rule_files,
        "scrape_configs": scrape_configs(settings),
    }


def _gateway(settings: Settings) -> str:
    """Where the gateway has /metrics: beside its API, or on a port of its own."""
    gateway, telemetry = settings.gateway, settings.telemetry
    host, port = gateway.host, gateway.port
    if telemetry.metrics_port is not None:
        host, port = telemetry.metrics_host, telemetry.metrics_port
    reached = LOOPBACK if host in _ANY else host
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"


def _duration(seconds: float) -> str:
    """As Prometheus writes it, to the millisecond."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds % 1000 else f"{milliseconds // 1000}s"
