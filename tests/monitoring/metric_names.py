"""Names of all metrics that rules may ask for: our own from the registries themselves, others' from lists."""

from pathlib import Path
from typing import Final

from tests.monitoring.rules_folder import RECORDING_FILES, rules_of
from vitrine.gateway.app import create_app
from vitrine.gateway.errors import CODES
from vitrine.gateway.health import DEPENDENCY_OF
from vitrine.indexer.metrics import IndexMetrics
from vitrine.indexer.report import StageTimes, Tally
from vitrine.settings import Settings
from vitrine.telemetry.canary_metrics import CanaryMetrics
from vitrine.telemetry.metrics import GatewayMetrics

_LISTS: Final = Path(__file__).parent / "known_metrics"
_SUFFIXES: Final = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
RECORDS: Final = frozenset(rule.name for rule in rules_of(*RECORDING_FILES))


def listed(*files: str) -> set[str]:
    """Names in lists of `known_metrics`."""
    lines = [line for file in files for line in (_LISTS / f"{file}.txt").read_text().splitlines()]
    return {line for line in lines if line and not line.startswith("#")}


def routes() -> set[str]:
    """Path templates of the gateway's API."""
    return set(create_app(Settings()).openapi()["paths"])


def gateway_metrics() -> GatewayMetrics:
    """Those of a gateway that answered nothing yet."""
    return GatewayMetrics("0", [(path, "POST") for path in routes()], CODES, set(DEPENDENCY_OF.values()))


def known_names() -> set[str]:
    """Every name there is."""
    tally = Tally()
    tally.written_at = 1.0  # until then there is no such series
    indexing = IndexMetrics("0")
    indexing.follow(tally, StageTimes({}), int, "f")
    gateway = gateway_metrics()
    CanaryMetrics(gateway.registry)
    own = {
        family.name + suffix
        for registry in (gateway.registry, indexing.registry)
        for family in registry.collect()
        for suffix in _SUFFIXES.get(family.type, ("",))
    }
    return own | RECORDS | listed("triton", "milvus-2.3", "kubernetes")
