"""Which processes make the stack."""

from vitrine.local.engines import Engines
from vitrine.local.gateway import GatewayService
from vitrine.local.milvus import MilvusService
from vitrine.local.prometheus import PrometheusService, find_prometheus
from vitrine.local.service import Service
from vitrine.local.state import StateFolder
from vitrine.local.triton import TritonService
from vitrine.settings import Settings


def services_of(settings: Settings, folder: StateFolder) -> tuple[Service, ...]:
    """The stack's services in starting order; the last one uses the others and is stopped first.

    Raises:
        PlatformUnsupported, EnginesMissing: the engines cannot run here.
        RulesMissing: Prometheus can, and there are no rules for it.
    """
    program = find_prometheus(settings.local)
    watching = () if program is None else (PrometheusService(settings, program, folder.of("prometheus")),)
    engines = Engines.locate(settings.local.engines_dir)
    return (
        TritonService(
            settings.local,
            engines,
            settings.model.repository,
            folder.of("triton"),
            otlp_endpoint=settings.telemetry.otlp_endpoint,
        ),
        MilvusService(settings.local, engines, folder.of("milvus")),
        *watching,
        GatewayService(settings, folder.of("gateway")),
    )
