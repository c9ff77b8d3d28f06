"""Prometheus metrics of the HTTP process, in a registry of their own. Every label's values are a closed set.

`docs/metrics.md` says what each means; a test holds it to this.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Info, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from vitrine.telemetry.histogram import LoopHistogram, Observations
from vitrine.telemetry.occasional import OccasionalGauge
from vitrine.telemetry.search_metrics import SearchMetrics
from vitrine.telemetry.stages import BUCKETS_S, Stage

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_METHOD: Final = "OTHER"
UNMATCHED: Final = "unmatched"
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


class ShedReason(StrEnum):
    """What there was too little of for a request; a label's values."""

    IN_FLIGHT = "in_flight"
    """Permits of this process."""
    RATE_LIMIT = "rate_limit"
    """What its caller may ask for in a second."""
    TRITON_QUEUE = "triton_queue"
    """Room in the queue of a model."""


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
        routes: path templates with the methods they take. Other paths count as `unmatched`, other methods as `OTHER`.
        codes: error codes there are; any other counts as `internal`.
        dependencies: names that `dependency_up` can have.
    """

    def __init__(
        self, version: str, routes: Iterable[tuple[str, str]], codes: Iterable[str], dependencies: Iterable[str]
    ) -> None:
        # For every series there is, one more that says when it began, which nothing here asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=True)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._version = version
        self._build = Info("vitrine_build", "Version and model of the running code.", registry=self.registry)
        self._build.info({"version": version})
        self.routes = frozenset(routes)
        self._exchanges = _Exchanges(self.registry, self.routes)
        self._codes = frozenset(codes)
        self._errors = Counter(
            "vitrine_http_errors", "Error answers by their stable code.", ("code",), registry=self.registry
        )
        stages = LoopHistogram(
            "vitrine_stage_duration_seconds", "Time a request spent in one stage.", ("stage",), BUCKETS_S, self.registry
        )
        self._stages = {stage: stages.labels(stage) for stage in Stage}
        self.searches = SearchMetrics(self.registry)
        self.in_flight = Gauge(
            "vitrine_http_in_flight", "API requests being worked on (they hold a permit).", registry=self.registry
        )
        self.capacity = Gauge("vitrine_http_in_flight_limit", "Permits there are.", registry=self.registry)
        shed = Counter(
            "vitrine_http_shed",
            "Requests, and searches of a multi_search, that were refused for want of room.",
            ("reason",),
            registry=self.registry,
        )
        self._shed = {reason: shed.labels(reason) for reason in ShedReason}
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
        self.collection_indexed = OccasionalGauge(
            "vitrine_collection_indexed_timestamp_seconds",
            "When the collection behind the default alias was last completely up to date.",
            self.registry,
        )
        self.collection_rows = OccasionalGauge(
            "vitrine_collection_rows",
            "Rows of the collection behind the default alias, as Milvus tells.",
            self.registry,
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

    def tell_model(self, fingerprint: str) -> None:
        """Adds the model's contract to `vitrine_build_info`, which stays one series."""
        self._build.info({"version": self._version, "fingerprint": fingerprint})

    def observe_request(
        self, route: str | None, method: str, status: int, seconds: float, trace_id: str | None = None
    ) -> None:
        """Counts one answered request and its time.

        Args:
            route: path template that was matched.
            method: as sent.
            status: a code such as 404; the label is its class, 4xx.
            seconds: until the answer was handed over.
            trace_id: of a trace that is recorded: it becomes the bucket's exemplar.
        """
        self._exchanges.observe(route, method, status, seconds, trace_id)

    def observe_stages(self, seconds: Mapping[Stage, float], trace_id: str | None = None) -> None:
        """Records the stages that a request went through; `trace_id` as in `observe_request`."""
        for stage, spent in seconds.items():
            self._stages[stage].observe(spent, trace_id)

    def count_error(self, code: str, shed: ShedReason | None = None) -> None:
        """Counts one error answer.

        Args:
            code: of the error.
            shed: what there was too little of; None: it is no matter of load.
        """
        self._errors.labels(code if code in self._codes else "internal").inc()
        if shed is not None:
            self._shed[shed].inc()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All metrics in the format that an `Accept` header prefers, and that format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Exchanges:
    """Requests by route, method and class of status. Their series are looked up once: that is half of what they cost.

    Args:
        registry: where the series are.
        routes: path templates with the methods they take.
    """

    def __init__(self, registry: CollectorRegistry, routes: frozenset[tuple[str, str]]) -> None:
        names = ("route", "method", "status")
        self._requests = Counter("vitrine_http_requests", "Requests answered.", names, registry=registry)
        self._duration = LoopHistogram(
            "vitrine_http_request_duration_seconds",
            "Time from the request's head to the last byte of the answer handed to the socket.",
            names,
            BUCKETS_S,
            registry,
        )
        self._taken = routes
        self._routes = frozenset(path for path, _ in self._taken)
        self._known: dict[tuple[str, str, int], tuple[Counter, Observations]] = {}
        # A counter that appears with its first event hides it: rate() sees no rise from nothing. So failures have a
        # zero from the start, and the first of them count towards the objectives.
        refused = ((UNMATCHED, method) for method in METHODS)  # for want of a permit: before a route is matched
        for path, method in (*self._taken, *refused):
            self._requests.labels(path, method, "5xx")

    def observe(self, route: str | None, method: str, status: int, seconds: float, trace_id: str | None) -> None:
        if route is None or route not in self._routes:
            key = (UNMATCHED, method if method in METHODS else OTHER_METHOD, status // 100)
        else:
            key = (route, method if (route, method) in self._taken else OTHER_METHOD, status // 100)
        if (known := self._known.get(key)) is None:
            labels = (*key[:2], f"{key[2]}xx")
            known = self._known[key] = (self._requests.labels(*labels), self._duration.labels(*labels))
        requests, duration = known
        requests.inc()
        duration.observe(seconds, trace_id)
