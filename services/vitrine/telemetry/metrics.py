"""Prometheus metrics of the HTTP process, in a registry of their own. Every label's values are a closed set."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from vitrine.telemetry.stages import Stage

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Edges of every latency histogram. The latency objectives (50 ms, 250 ms) are edges, so their shares are exact."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
"""Route label of requests that matched no route; their paths are anybody's invention and never become a label."""


class QueryKind(StrEnum):
    """What is embedded for a query; a label's values."""

    TEXT = "text"
    IMAGE = "image"


class CacheOutcome(StrEnum):
    """What became of a wish for an embedding; a label's values."""

    HIT = "hit"
    MISS = "miss"
    COALESCED = "coalesced"
    """It was under way already, so it was waited for."""


class ItemOutcome(StrEnum):
    """What became of an item that was to be written or deleted; a label's values."""

    CREATED = "created"
    REPLACED = "replaced"
    DELETED = "deleted"
    REJECTED = "rejected"
    """It could not be stored as it was sent."""
    MISSING = "missing"
    """It was to be deleted and was not there."""
    UNCONFIRMED = "unconfirmed"
    """Milvus did not say whether it was written."""


class EmbeddingCacheMetrics:
    """What the cache of query embeddings counts: the hit rate is hits over all outcomes.

    Args:
        registry: where the series are.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "vitrine_embedding_cache_requests",
            "Embeddings asked for, by where they came from.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.outcomes = {
            (kind, outcome): requests.labels(kind, outcome) for kind in QueryKind for outcome in CacheOutcome
        }
        self.bytes = Gauge(
            "vitrine_embedding_cache_bytes", "Memory of the embeddings kept, keys included.", registry=registry
        )
        self.entries = Gauge("vitrine_embedding_cache_entries", "Embeddings kept.", registry=registry)
        evictions = Counter(
            "vitrine_embedding_cache_evictions",
            "Embeddings given up: for want of room, or found to be too old.",
            ("reason",),
            registry=registry,
        )
        self.evicted = evictions.labels("size")
        self.expired = evictions.labels("age")


class GatewayMetrics:
    """What the HTTP process counts and times.

    Args:
        version: of the product, for `vitrine_build_info`.
        routes: path templates there are; any other counts as `unmatched`.
        codes: error codes there are; any other counts as `internal`.
        dependencies: names that `dependency_up` can have.
    """

    def __init__(self, version: str, routes: Iterable[str], codes: Iterable[str], dependencies: Iterable[str]) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._routes = frozenset(routes)
        self._codes = frozenset(codes)
        Info("vitrine_build", "Version of the running code.", registry=self.registry).info({"version": version})
        self._requests = Counter(
            "vitrine_http_requests",
            "Requests answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._duration = Histogram(
            "vitrine_http_request_duration_seconds",
            "Time from the request's head to the last byte of the answer handed to the socket.",
            ("route", "method", "status"),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._errors = Counter(
            "vitrine_http_errors", "Error answers by their stable code.", ("code",), registry=self.registry
        )
        stages = Histogram(
            "vitrine_stage_duration_seconds",
            "Time a request spent in one stage.",
            ("stage",),
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in Stage}
        self.in_flight = Gauge(
            "vitrine_http_in_flight", "API requests being worked on (they hold a permit).", registry=self.registry
        )
        self.capacity = Gauge("vitrine_http_in_flight_limit", "Permits there are.", registry=self.registry)
        shed = Counter(
            "vitrine_http_shed", "Requests refused before any work was done.", ("reason",), registry=self.registry
        )
        self.shed_for_permits = shed.labels("in_flight")
        up = Gauge(
            "vitrine_dependency_up",
            "1 when the last readiness check had an answer from the dependency.",
            ("dependency",),
            registry=self.registry,
        )
        self.dependency_up = {name: up.labels(name) for name in dependencies}
        self.ready = Gauge("vitrine_ready", "1 when /readyz answers 200.", registry=self.registry)
        self.contract_mismatch = Gauge(
            "vitrine_contract_mismatch",
            "1 while Triton, the tokenizer and the default collection do not share one model.",
            registry=self.registry,
        )
        self.embedding_cache = EmbeddingCacheMetrics(self.registry)
        items = Counter(
            "vitrine_items", "Items of write requests by what became of them.", ("outcome",), registry=self.registry
        )
        self.items = {outcome: items.labels(outcome) for outcome in ItemOutcome}
        stale = Gauge(
            "vitrine_auth_source_stale",
            "1 while the file of keys or the issuer's public keys cannot be read and those read before are used.",
            ("source",),
            registry=self.registry,
        )
        self.auth_keys_stale = stale.labels("keys")
        self.auth_issuer_stale = stale.labels("issuer")

    def observe_request(self, route: str | None, method: str, status: int, seconds: float) -> None:
        """Counts one answered request and its time. `status` is a code such as 404; the label is its class, 4xx."""
        labels = (
            route if route in self._routes else UNMATCHED,
            method if method in METHODS else "OTHER",
            f"{status // 100}xx",
        )
        self._requests.labels(*labels).inc()
        self._duration.labels(*labels).observe(seconds)

    def observe_stages(self, seconds: Mapping[Stage, float]) -> None:
        """Records the stages that a request went through."""
        for stage, spent in seconds.items():
            self._stages[stage].observe(spent)

    def count_error(self, code: str) -> None:
        """Counts one error answer."""
        self._errors.labels(code if code in self._codes else "internal").inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that an `Accept` header prefers, and that format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
