"""One long-lived connection to Milvus: it may be made before Milvus is up, and outlives Milvus's restarts."""

import asyncio
import inspect
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from pymilvus import AsyncMilvusClient
from pymilvus.client.async_grpc_handler import AsyncGrpcHandler
from pymilvus.client.utils import check_status

from vitrine.domain import Deadline
from vitrine.errors import VectorStoreUnavailable
from vitrine.settings import MIB, MilvusSettings
from vitrine.telemetry.spans import Attributes, annotate, recording, span, trace_headers
from vitrine.vectorstore.tls import trusted_authorities
from vitrine.vectorstore.vendor_errors import vendor_errors

__all__ = ["MAX_MESSAGE_BYTES", "MilvusConnection", "vendor_errors"]

MAX_MESSAGE_BYTES = 64 * MIB
"""What Milvus's proxy takes in one message, and the most we take in one answer."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_CLOSE_TIMEOUT_S = 2.0
_RECONNECT_MS = 100
_RECONNECT_MAX_MS = 1_000


class MilvusConnection:
    """A gRPC channel to one Milvus proxy, opened by `open` inside the event loop that uses it.

    Nothing is sent until the first call, so opening never fails because Milvus is down. A call that finds no server
    fails at once; gRPC looks for the server again at most a second later. Each call is one attempt with a deadline.
    """

    def __init__(self, settings: MilvusSettings, client: Any, handler: Any) -> None:
        self.settings = settings
        self.client = client
        """pymilvus's client. Every call on it needs `timeout=`; none of them retries."""
        self._handler = handler
        self._metadata = (("dbname", settings.database),)

    @classmethod
    async def open(cls, settings: MilvusSettings) -> Self:
        """Prepares the connection; sends nothing.

        Raises:
            InvalidInput: the address is not one of Milvus.
            SettingsInvalid: see `trusted_authorities`.
        """
        trusted_authorities(settings)
        with vendor_errors("be addressed as the settings say"):
            client = AsyncMilvusClient(
                uri=settings.uri,
                token=settings.token.get_secret_value(),
                db_name=settings.database,
                grpc_options=_channel_options(settings),
                server_pem_path="" if settings.ca_file is None else str(settings.ca_file),
            )
            # The client would make its handler on the first call, through a registry shared by the process: keyed
            # by the loop's address, it hands out handlers of closed loops (pymilvus #3087), and it answers a broken
            # connection by reconnecting under one lock for all callers. Ours is made here and belongs to us.
            config = client._config  # noqa: SLF001
            handler = single_attempt_handler()(
                uri=config.uri,
                address=config.address,
                token=config.token,
                db_name=config.db_name,
                **config.get_handler_kwargs(),
            )
            client._handler = handler  # noqa: SLF001
        return cls(settings, client, handler)

    async def close(self) -> None:
        """Closes the channel; calls in flight are cancelled. Safe to call twice."""
        self.client._closed = True  # noqa: SLF001 - it would ask the registry it does not use
        with vendor_errors("be disconnected"):
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._handler.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        request: Any,
        *,
        seconds: float,
        doing: str,
        collection: str = "",
        attributes: Attributes | None = None,
    ) -> Any:
        """One remote call by its name in Milvus's protocol; what the hot paths use.

        The client's own methods spend 0.4 ms on turning twenty hits into dictionaries, and pack rows one by one.

        Args:
            method: a method of Milvus's gRPC service, such as `Search`.
            request: its protobuf message.
            seconds: the longest it may take; also sent to the server.
            doing: see `vendor_errors`.
            collection: see `vendor_errors`.
            attributes: of the call's span, where the request is traced.

        Returns:
            The answer's protobuf message, its status checked.

        Raises:
            VitrineError: see `vendor_errors`.
        """
        with (
            self.call_span(method, collection, attributes),
            vendor_errors(doing, collection=collection, timeout=seconds),
        ):
            stub = self._handler._async_stub  # noqa: SLF001
            if stub is None:
                raise VectorStoreUnavailable("The connection to Milvus is closed.")
            # Milvus's own spans join the trace by these, when it exports any, and when the trace is sampled.
            metadata = (*self._metadata, *trace_headers())
            answer = await getattr(stub, method)(request, timeout=seconds, metadata=metadata)
            check_status(getattr(answer, "status", answer))
            if recording() is not None:
                annotate(_measures(request, answer))
        return answer

    def call_span(
        self, operation: str, collection: str, attributes: Attributes | None = None
    ) -> AbstractContextManager[None]:
        """The span of a call, by OpenTelemetry's names for databases."""
        if recording() is None:
            return nullcontext()
        said: dict[str, str | int | float | bool] = {
            "db.system.name": "milvus",
            "db.namespace": self.settings.database,
            "db.operation.name": operation,
            **(attributes or {}),
        }
        if collection:
            said["db.collection.name"] = collection
        return span(f"{operation} {collection}".rstrip(), said, kind="client")

    async def server_version(self, deadline: Deadline | None = None) -> str:
        """Such as "2.3.5": whatever build suffix the server adds is left out.

        Raises:
            VectorStoreUnavailable: no server answers.
            DeadlineExceeded: it did not answer in time.
        """
        limit = self.settings.connect_timeout_s
        timeout = deadline.within(limit) if deadline else limit
        with vendor_errors("tell its version", timeout=timeout):
            version = str(await self.client.get_server_version(timeout=timeout))
        return version.removeprefix("v").split("-")[0]


def _measures(request: Any, answer: Any) -> dict[str, str | int | float | bool]:
    """How much was asked and answered: vectors of a search, rows of a write, hits."""
    measures: dict[str, str | int | float | bool] = {}
    asked = getattr(request, "nq", 0) or getattr(request, "num_rows", 0)
    if asked:
        measures["db.operation.batch.size"] = asked
    results = getattr(answer, "results", None)
    if results is not None and hasattr(results, "topks"):
        measures["db.response.returned_rows"] = sum(results.topks)
    return measures


def single_attempt_handler() -> Any:
    """pymilvus's gRPC handler class without the retries it wraps around each of its methods.

    With a timeout they repeat a failed call until the time is up, without one 75 times; and they log every failure with
    a stack trace. What stays is one call, with its timeout in the request.
    """
    plain = {
        name: inspect.unwrap(member)
        for name, member in vars(AsyncGrpcHandler).items()
        if inspect.iscoroutinefunction(member)
    }
    return type("SingleAttemptHandler", (AsyncGrpcHandler,), plain)


def _channel_options(settings: MilvusSettings) -> dict[str, int]:
    return {
        "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
        "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
        # gRPC's own pause between attempts grows to two minutes: far too long to notice that Milvus is back.
        "grpc.initial_reconnect_backoff_ms": _RECONNECT_MS,
        "grpc.max_reconnect_backoff_ms": _RECONNECT_MAX_MS,
        # Despite its name also the longest one attempt to connect may take.
        "grpc.min_reconnect_backoff_ms": max(_RECONNECT_MS, int(settings.connect_timeout_s * 1000)),
        # gRPC obeys http_proxy, for this machine too unless no_proxy names it: no proxy can know the embedded stack.
        "grpc.enable_http_proxy": int(urlsplit(settings.uri).hostname not in _LOOPBACK),
    }
