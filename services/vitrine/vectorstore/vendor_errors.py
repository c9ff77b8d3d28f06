"""Milvus's and gRPC's errors, turned into the product's own at the edge of this package."""

import time
from contextlib import AbstractContextManager
from types import TracebackType

from pymilvus import exceptions as milvus

# pymilvus lets the errors of the gRPC library beneath it through. They are taken from there: nothing in this package
# speaks gRPC itself.
from pymilvus.client.async_grpc_handler import grpc as rpc

from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    LimitExceeded,
    VectorStoreUnavailable,
    VitrineError,
)

ErrorType = type[VitrineError]

BY_CLASS: dict[type[BaseException], ErrorType] = {
    milvus.ParamError: InvalidInput,
    milvus.ConnectError: VectorStoreUnavailable,
    milvus.MilvusUnavailableException: VectorStoreUnavailable,
    milvus.CollectionNotExistException: CollectionNotFound,
    milvus.PartitionAlreadyExistException: InternalError,
    milvus.IndexNotExistException: CollectionNotReady,
    milvus.AmbiguousIndexName: InternalError,
    milvus.CannotInferSchemaException: InternalError,
    milvus.SchemaNotReadyException: InternalError,
    milvus.DataTypeNotMatchException: InvalidInput,
    milvus.DataTypeNotSupportException: InternalError,
    milvus.DataNotMatchException: InvalidInput,
    milvus.SchemaMismatchRetryableException: InvalidInput,
    milvus.ConnectionNotExistException: VectorStoreUnavailable,
    milvus.ConnectionConfigException: InvalidInput,
    milvus.PrimaryKeyException: InternalError,
    milvus.PartitionKeyException: InternalError,
    milvus.ClusteringKeyException: InternalError,
    milvus.FieldsTypeException: InternalError,
    milvus.FunctionsTypeException: InternalError,
    milvus.FieldTypeException: InternalError,
    milvus.AutoIDException: InternalError,
    milvus.InvalidConsistencyLevel: InternalError,
    milvus.ServerVersionIncompatibleException: InvalidInput,
}
"""Classes that pymilvus raises about its own arguments: their `code` is a default and says nothing."""

BY_SERVER_CODE: dict[int, ErrorType] = {
    100: CollectionNotFound,
    101: CollectionNotReady,
    103: CollectionNotReady,  # loading
    106: CollectionNotReady,  # recovering after a restart
    201: CollectionNotReady,
    202: CollectionNotReady,
    700: CollectionNotReady,  # no index yet: it cannot be loaded
    1600: CollectionNotFound,  # alias
    1603: CollectionNotFound,
    1102: LimitExceeded,
    10000: DeadlineExceeded,
    10001: DeadlineExceeded,
}
_UNAVAILABLE_CODES = (
    *range(1, 10),  # not ready, memory, disk, rate and quota limits
    *(11, 12),
    *(102, 250, 801),  # no room for more
    800,  # no such database: settings and server disagree, nothing the caller can mend
    *range(300, 306),
    *(400, 401),
    *range(500, 505),  # shards without a serving node
    *range(600, 605),  # segments on the move
    *range(901, 907),
    *(1000, 1001, 1002),
    *range(1300, 1304),
    *(1400, 1401, 1800),  # our credentials are refused
    1807,
    2200,
)
_INVALID_CODES = (10, 104, 105, 107, 701, 702, 802, 1100, 1101, 1601, 1602, 1700, 1701, *range(1801, 1807), 3000)
BY_SERVER_CODE |= dict.fromkeys(_UNAVAILABLE_CODES, VectorStoreUnavailable)
BY_SERVER_CODE |= dict.fromkeys(_INVALID_CODES, InvalidInput)
"""Milvus's own numbers (its module merr). Those not listed are defects of ours or of the server."""

BY_RPC_STATUS: dict[str, ErrorType] = {
    "CANCELLED": VectorStoreUnavailable,  # by the server: our own cancellations are asyncio's
    "UNKNOWN": InternalError,
    "INVALID_ARGUMENT": InternalError,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "NOT_FOUND": InternalError,
    "ALREADY_EXISTS": InternalError,
    "PERMISSION_DENIED": VectorStoreUnavailable,
    "UNAUTHENTICATED": VectorStoreUnavailable,
    "RESOURCE_EXHAUSTED": VectorStoreUnavailable,
    "FAILED_PRECONDITION": InternalError,
    "ABORTED": VectorStoreUnavailable,
    "UNIMPLEMENTED": VectorStoreUnavailable,  # what answers there is no Milvus, or one older than we support
    "OUT_OF_RANGE": InternalError,
    "INTERNAL": VectorStoreUnavailable,  # what a broken stream looks like when the server dies while it answers
    "UNAVAILABLE": VectorStoreUnavailable,
    "DATA_LOSS": InternalError,
    "OK": InternalError,  # an error that says there is none
}

_SIGNS: tuple[tuple[tuple[str, ...], ErrorType], ...] = (
    (("context deadline exceeded", "context canceled", "context done", "timeout"), DeadlineExceeded),
    (("duplicate collection", "index type not supported"), InvalidInput),
    (("not ready", "not healthy", "unhealthy", "not serving", "is offline", "node not found"), VectorStoreUnavailable),
    (("no available shard", "shard leader", "shard delegator", "fail to get channels"), VectorStoreUnavailable),
    (("connection refused", "transport is closing"), VectorStoreUnavailable),
)
"""Words in the reasons of errors that Milvus 2.3 reports as unexpected (65535, or gRPC's UNKNOWN while it starts)."""


def translate(error: Exception, doing: str, *, collection: str = "", out_of_time: bool = False) -> VitrineError:
    """The product's error for one of the vendor's.

    Args:
        error: what the client raised.
        doing: what was being done, as the end of "Milvus could not ...".
        collection: the collection concerned, for the error's details.
        out_of_time: the call's own timeout had passed when the error came.
    """
    kind, reason = _classify(error)
    if kind is InternalError and out_of_time:
        kind = DeadlineExceeded
    details = {"collection": collection} if collection else {}
    if kind is DeadlineExceeded:
        return DeadlineExceeded(f"Milvus did not {doing} in time.", reason=reason, **details)
    if kind is CollectionNotFound:
        return CollectionNotFound(f"There is no collection {collection!r}.", **details)
    if kind is CollectionNotReady:
        return CollectionNotReady(f"Collection {collection!r} is not loaded yet.", reason=reason, **details)
    return kind(f"Milvus could not {doing}: {reason}", **details)


def _classify(error: Exception) -> tuple[ErrorType, str]:
    if isinstance(error, rpc.RpcError):
        status = getattr(error.code(), "name", "")
        reason = str(error.details() or status)
        return _by_reason(BY_RPC_STATUS.get(status, InternalError), reason), _short(reason)
    if isinstance(error, milvus.MilvusException):
        reason = str(error.message)
        by_class = next((BY_CLASS[base] for base in type(error).__mro__ if base in BY_CLASS), None)
        return by_class or _by_reason(BY_SERVER_CODE.get(error.code, InternalError), reason), _short(reason)
    if isinstance(error, TimeoutError):
        return DeadlineExceeded, "no answer"
    if isinstance(error, rpc.aio.UsageError):
        return VectorStoreUnavailable, "the connection is closed"
    return InternalError, _short(f"{type(error).__name__}: {error}")


def _by_reason(kind: ErrorType, reason: str) -> ErrorType:
    """Looks into the text where the code only says that something was unexpected."""
    if kind is not InternalError:
        return kind
    text = reason.lower()
    return next((meaning for signs, meaning in _SIGNS if any(sign in text for sign in signs)), kind)


def _short(text: str) -> str:
    """Milvus appends stack traces to some reasons; the first line carries the sense."""
    first = str(text).strip().splitlines()[0] if str(text).strip() else "no reason given"
    return first if len(first) <= 300 else first[:297] + "..."


def vendor_errors(doing: str, *, collection: str = "", timeout: float | None = None) -> AbstractContextManager[None]:
    """Lets nothing but the product's errors out of the block.

    Args:
        doing: what the block does, as the end of "Milvus could not ...".
        collection: the collection concerned.
        timeout: seconds the block gives its call. An error without a meaning of its own that comes after them is
            the deadline's.

    Raises:
        VectorStoreUnavailable: Milvus is down, starting, overloaded or refuses our credentials.
        CollectionNotFound: no such collection or alias.
        CollectionNotReady: it is not loaded.
        DeadlineExceeded: no answer in time.
        InvalidInput: Milvus refuses an argument.
        InternalError: anything else.
    """
    return _VendorErrors(doing, collection, timeout)


class _VendorErrors(AbstractContextManager[None]):
    """See `vendor_errors`. A class: a generator takes five times as long."""

    __slots__ = ("_began", "_collection", "_doing", "_timeout")

    def __init__(self, doing: str, collection: str, timeout: float | None) -> None:
        self._doing = doing
        self._collection = collection
        self._timeout = timeout
        self._began = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, VitrineError):
            out_of_time = self._timeout is not None and time.monotonic() - self._began >= self._timeout * 0.98
            raise translate(error, self._doing, collection=self._collection, out_of_time=out_of_time) from error
