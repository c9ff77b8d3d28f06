"""Typed settings, read once per process from the environment (`VITRINE_<SECTION>__<NAME>`) or an env file.

`docs/configuration.md` is generated from this module: the text beside a field is what an operator reads.
"""

import os
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from vitrine.errors import SettingsInvalid

MIB = 1024 * 1024
ENV_PREFIX = "VITRINE_"
CLIENT_VARIABLES = frozenset({"VITRINE_API_KEY", "VITRINE_URL"})
"""What `vitrine search` reads as a client of some gateway; no setting of a process here."""


class _Section(BaseModel):
    """A typo in a setting's name is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class GatewaySettings(_Section):
    """The HTTP process."""

    host: str = Field("127.0.0.1", description="Address to listen on. Beyond loopback callers are authenticated.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")
    default_collection: str = Field("products", description="Alias the web page and `/` search.")
    default_timeout_ms: int = Field(2_000, ge=1, description="Deadline of a request that names none.")
    max_timeout_ms: int = Field(10_000, ge=1, description="Longest deadline a caller may ask for.")
    max_in_flight: int = Field(64, ge=1, description="Requests worked on at once; above it 503 with Retry-After.")
    max_body_bytes: int = Field(12 * MIB, ge=1024, description="Largest request body (a data: URL is 4/3 of its file).")
    max_query_bytes: int = Field(8 * 1024, ge=1, description="Largest text query in UTF-8 bytes.")
    max_limit: int = Field(250, ge=1, description="Largest `limit` (hits in one answer).")
    readiness_cache_s: float = Field(1.0, ge=0, description="How long an answer of /readyz is reused.")
    readiness_timeout_s: float = Field(2.0, gt=0, description="Longest a dependency check in /readyz may take.")
    keep_alive_s: int = Field(75, ge=1, description="Idle keep-alive; longer than the 60 s usual in proxies.")
    drain_s: int = Field(20, ge=0, description="How long in-flight requests may finish after SIGTERM.")
    media_root: Path | None = Field(None, description="Folder whose pictures `/media/` serves; unset: no `/media/`.")
    media_base_url: str = Field("/media", description="What `image_url` of a hit starts with: `/media` or a CDN.")


class ModelSettings(_Section):
    """The model repository that Triton serves."""

    repository: Path = Field(
        Path("model_repository"), description="Folder with contract.json and tokenizer.json; Triton's own folder."
    )


class TritonSettings(_Section):
    """Where Triton answers, and for how long we listen."""

    url: str = Field(
        "http://127.0.0.1:8000",
        description="Its HTTP port. A name may stand for several Tritons (a headless Service): each has its turn.",
    )
    timeout_s: float = Field(
        5.0, gt=0, description="Longest one inference may take; the caller's deadline may be shorter."
    )
    control_timeout_s: float = Field(2.0, gt=0, description="Longest a readiness or metadata call may take.")
    max_batch: int = Field(32, ge=1, description="Largest batch sent in one call; config.pbtxt's max_batch_size.")
    calls_under_way: int = Field(
        1,
        ge=1,
        le=256,
        description="Calls for texts at once; further texts wait and go together. More for GPUs or several Tritons.",
    )

    @field_validator("url")
    @classmethod
    def _of_an_http_server(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            known = parts.scheme == "http" and parts.hostname and parts.port != 0
        except ValueError:  # a port that is no number
            known = False
        if not known or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
            raise ValueError("Input should be http://host:port and nothing more")
        return url


class MilvusSettings(_Section):
    """Where Milvus answers, and for how long we listen."""

    uri: str = Field("http://127.0.0.1:19530", description="Address of a Milvus proxy.")
    token: SecretStr = Field(SecretStr(""), description="`user:password` or an API key; empty: no authentication.")
    database: str = Field("default", description="Milvus database.")
    ca_file: Path | None = Field(
        None, description="PEM file of the authorities that sign Milvus's certificate (`https://`); unset: public ones."
    )
    connect_timeout_s: float = Field(5.0, gt=0, description="Longest to wait for a connection.")
    search_timeout_s: float = Field(
        5.0, gt=0, description="Longest one search may take; the caller's deadline may be shorter."
    )
    write_timeout_s: float = Field(60.0, gt=0, description="Longest one upsert or delete may take.")
    admin_timeout_s: float = Field(600.0, gt=0, description="Longest wait for an index to be built or loaded.")


class ImageSettings(_Section):
    """What is accepted as a picture, for a query and for an index alike."""

    max_bytes: int = Field(8 * MIB, ge=1024, description="Largest image file.")
    max_pixels: int = Field(
        25_000_000,
        ge=1,
        description="Most pixels an image may declare; decoding needs 4 to 17 bytes of memory for each.",
    )
    decode_threads: int = Field(2, ge=1, description="Threads that decode and resize.")


class IndexerSettings(_Section):
    """The batch process. Every queue between its stages is bounded by these."""

    batch_size: int = Field(16, ge=1, description="Images in one call to Triton.")
    in_flight: int = Field(4, ge=1, description="Calls to Triton under way at once.")
    max_products_per_s: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Pictures begun per second and process; 0: as many as it can."
    )
    niceness: int = Field(
        10, ge=0, le=19, description="Of the threads that decode: whatever else runs on the machine goes first."
    )
    upsert_bytes: int = Field(4 * MIB, ge=64 * 1024, description="Bytes of one upsert; Milvus refuses above 64 MiB.")
    encode_attempts: int = Field(
        8, ge=1, description="Tries of one batch while Triton is unavailable; with their pauses about 75 s."
    )
    encode_timeout_s: float = Field(60.0, gt=0, description="Longest one batch may take; pictures on a CPU are slow.")


class LocalSettings(_Section):
    """The embedded stack: real Triton and real Milvus as processes of this user, for one machine."""

    state_dir: Path = Field(Path(".vitrine"), description="Everything the stack writes: data, logs, process ids.")
    engines_dir: Path = Field(Path(".engines"), description="Virtual environment with the engines' own packages.")
    triton_http_port: int = Field(
        8000, ge=1, le=65535, description="Triton's HTTP port, which the gateway and the indexer use."
    )
    triton_grpc_port: int = Field(8001, ge=1, le=65535, description="Triton's gRPC port, for clients of your own.")
    triton_metrics_port: int = Field(8002, ge=1, le=65535, description="Triton's Prometheus port.")
    milvus_port: int = Field(19530, ge=1, le=65535, description="Milvus's gRPC port.")
    milvus_metrics_port: int = Field(9091, ge=1, le=65535, description="Milvus's Prometheus and health port.")
    etcd_port: int = Field(2379, ge=1, le=65535, description="Port of the etcd inside Milvus.")
    milvus_otlp_endpoint: str = Field(
        "", description="Where Milvus sends its own spans, `host:port` of OTLP/gRPC; empty: nowhere."
    )
    prometheus: str = Field(
        "prometheus", description="Prometheus's program, by its name on PATH or its path; empty: it is not started."
    )
    prometheus_port: int = Field(19090, ge=1, le=65535, description="Prometheus's port.")
    scrape_interval_s: float = Field(5.0, ge=0.1, description="Time between two scrapes of each process.")
    monitoring_dir: Path = Field(
        Path("helm/vitrine/monitoring"), description="Folder of Prometheus's rules: its `recording` and its `alerts`."
    )
    start_timeout_s: float = Field(120.0, gt=0, description="Longest each process may take to become ready.")
    stop_timeout_s: float = Field(30.0, gt=0, description="Longest to wait after SIGTERM before SIGKILL.")

    @field_validator("prometheus")
    @classmethod
    def _independent_of_the_working_directory(cls, program: str) -> str:
        return str(Path(program).absolute()) if os.sep in program else program

    @property
    def demo_catalogue(self) -> Path:
        """Where `vitrine demo` draws; the local gateway serves its pictures unless told to serve others."""
        return self.state_dir / "demo-catalogue"


class SearchSettings(_Section):
    """How far one search may go, which `GET /v1/limits` shows to callers, and how searches share calls to Milvus."""

    max_depth: int = Field(1_000, ge=1, le=8_192, description="Most hits, or groups, that a walk by cursor reaches.")
    facet_depth: int = Field(200, ge=1, le=4_096, description="Best hits whose values are counted for facets.")
    max_facets: int = Field(8, ge=1, le=64, description="Most facets of one search.")
    max_facet_values: int = Field(50, ge=1, le=1_000, description="Most values listed for one facet.")
    max_searches: int = Field(32, ge=1, le=256, description="Most searches in one multi_search.")
    calls_under_way: int = Field(
        2, ge=1, le=256, description="Calls to Milvus at once for searches that differ in their query alone."
    )
    max_joined: int = Field(
        16, ge=1, le=256, description="Most of such searches in one call, where they would wait; 1 joins none."
    )
    cursor_key: SecretStr = Field(
        SecretStr(""),
        description="Signs cursors; the same for all replicas. Empty: random, so cursors end with the process.",
    )
    cursor_ttl_s: int = Field(3_600, ge=1, description="How long a cursor can be used.")


class CacheSettings(_Section):
    """Embeddings of queries, kept in memory."""

    max_bytes: int = Field(64 * MIB, ge=0, description="Memory for embeddings of queries; 0 keeps none.")
    ttl_s: float = Field(3_600.0, gt=0, description="How long an embedding is kept.")
    answer_max_age_s: int = Field(0, ge=0, description="`Cache-Control: max-age` of searches by GET; 0: revalidate.")


class CanarySettings(_Section):
    """A check of recall in the background: known queries, held against exact search (docs/recall-canary.md)."""

    interval_s: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Pause between its runs; 0: there is none. `vitrine up` takes 60."
    )
    timeout_s: float = Field(30.0, gt=0, description="Longest one run may take.")
    depth: int = Field(10, ge=1, le=100, description="Hits of each answer that are judged: the k of recall@k.")
    sample: int = Field(4_096, ge=256, le=65_536, description="Products read and compared in each run.")
    queries_file: Path | None = Field(
        None, description="Texts to search for, one a line, 500 at most; unset: 100 of fashion that ship."
    )


SignatureAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Public-key signatures alone: with a shared secret, whoever can check a token could make one."""


class AuthSettings(_Section):
    """Who may do what. Keys are made by `vitrine key create`; tokens by an OpenID provider."""

    mode: Literal["auto", "off", "on"] = Field(
        "auto",
        description="`auto`: on when keys or an issuer are set or the gateway listens beyond loopback, else off.",
    )
    keys_file: Path | None = Field(None, description="API keys, hashed (see docs/auth.md); read again when it changes.")
    oidc_issuer: str = Field("", description="The one `iss` accepted in JWTs; empty: no JWTs.")
    oidc_audience: str = Field("", description="The one `aud` accepted in JWTs.")
    oidc_algorithms: tuple[SignatureAlgorithm, ...] = Field(
        ("RS256", "ES256"), min_length=1, description="Signature algorithms accepted in JWTs."
    )
    oidc_jwks_file: Path | None = Field(None, description="The issuer's public keys as a file; instead of a URL.")
    oidc_jwks_url: str = Field("", description="Where the issuer publishes its public keys (https).")
    oidc_collections_claim: str = Field(
        "vitrine_collections",
        description="Claim that lists the collections allowed; a token without it sees none. Empty: all see all.",
    )
    oidc_rate: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Requests a second of each subject of JWTs; 0: any number."
    )
    oidc_burst: int = Field(50, ge=1, description="Requests at once of each subject of JWTs, when it has a rate.")


class RemoteImageSettings(_Section):
    """Pictures of queries and items named by address. Off until a host is allowed."""

    hosts: tuple[str, ...] = Field((), description="Hosts pictures may come from, exactly, or `*.example.com`.")
    ports: tuple[int, ...] = Field((443,), description="Ports pictures may come from.")
    schemes: tuple[Literal["https", "http"], ...] = Field(("https",), description="Schemes of addresses.")
    private_networks: tuple[str, ...] = Field(
        (), description="Private networks (CIDR) that allowed hosts may live in; all others are refused."
    )
    max_redirects: int = Field(3, ge=0, le=10, description="Redirects followed; each is checked like the first.")
    timeout_s: float = Field(3.0, gt=0, description="Longest one picture may take, redirects included.")
    max_per_request: int = Field(4, ge=1, description="Most pictures fetched for one request.")


class ItemSettings(_Section):
    """Products written over the API."""

    images_root: Path | None = Field(None, description="Folder that `image_path` is read below; unset: uploads only.")
    max_bulk: int = Field(100, ge=1, le=1_000, description="Most items of one bulk request.")


class TelemetrySettings(_Section):
    """Logs, traces, and where metrics are; those are always on."""

    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_queries: bool = Field(False, description="Write query texts into logs (they may be personal data).")
    otlp_endpoint: str = Field("", description="OTLP/HTTP traces endpoint; empty: tracing is off and costs nothing.")
    sample_ratio: float = Field(0.01, ge=0, le=1, description="Share of requests traced, and of batches of a run.")
    trust_caller_sampling: bool = Field(
        False, description="A caller that sends a W3C `traceparent` decides by its flag whether its request is traced."
    )
    metrics_host: str = Field("127.0.0.1", description="Address on which `metrics_port` listens.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of `/metrics` alone; unset: beside the API of a gateway, nowhere of an indexer.",
    )


class Settings(BaseSettings):
    """All settings. Build once in a composition root and hand down the sections."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid")

    gateway: GatewaySettings = GatewaySettings()
    model: ModelSettings = ModelSettings()
    triton: TritonSettings = TritonSettings()
    milvus: MilvusSettings = MilvusSettings()
    images: ImageSettings = ImageSettings()
    indexer: IndexerSettings = IndexerSettings()
    local: LocalSettings = LocalSettings()
    search: SearchSettings = SearchSettings()
    cache: CacheSettings = CacheSettings()
    auth: AuthSettings = AuthSettings()
    remote_images: RemoteImageSettings = RemoteImageSettings()
    items: ItemSettings = ItemSettings()
    canary: CanarySettings = CanarySettings()
    telemetry: TelemetrySettings = TelemetrySettings()


def read_settings() -> Settings:
    """Reads the environment once, for a composition root.

    Raises:
        SettingsInvalid: a value is out of range, or a `VITRINE_` variable is none of ours (a typo that would otherwise
            be a silent default).
    """
    sections = {f"{ENV_PREFIX}{section}__".upper() for section in Settings.model_fields}
    for variable in os.environ.keys() - CLIENT_VARIABLES:
        if variable.startswith(ENV_PREFIX) and not any(variable.upper().startswith(section) for section in sections):
            raise SettingsInvalid(f"The environment sets {variable}, which is no setting of Vitrine.")
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = ENV_PREFIX + "__".join(str(part) for part in first["loc"]).upper()
        raise SettingsInvalid(f"{variable}: {first['msg']} (got {first['input']!r}).") from None
