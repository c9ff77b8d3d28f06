import asyncio
from collections.abc import Iterator

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata, UsageError
from pymilvus import exceptions as milvus

from vitrine.errors import (
    CollectionNotFound,
    CollectionNotReady,
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    ItemNotFound,
    LimitExceeded,
    VectorStoreUnavailable,
    VitrineError,
)
from vitrine.vectorstore.vendor_errors import BY_CLASS, BY_RPC_STATUS, translate, vendor_errors

ANSWERED_BY_CODE = {milvus.DescribeCollectionException}
"""Raised with the server's own code, like MilvusException itself."""


def subclasses(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def rpc_error(status: grpc.StatusCode, details: str = "why") -> AioRpcError:
    return AioRpcError(status, Metadata(), Metadata(), details=details)


def test_no_exception_of_the_client_is_left_unmapped() -> None:
    known = set(subclasses(milvus.MilvusException))
    assert len(known) > 20
    assert known - set(BY_CLASS) == ANSWERED_BY_CODE


def test_no_status_of_grpc_is_left_unmapped() -> None:
    assert {status.name for status in grpc.StatusCode} == set(BY_RPC_STATUS)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1, VectorStoreUnavailable),
        (8, VectorStoreUnavailable),
        (100, CollectionNotFound),
        (101, CollectionNotReady),
        (106, CollectionNotReady),
        (503, VectorStoreUnavailable),
        (800, VectorStoreUnavailable),
        (1100, InvalidInput),
        (1102, LimitExceeded),
        (1400, VectorStoreUnavailable),
        (1600, CollectionNotFound),
        (10001, DeadlineExceeded),
        (2000, InternalError),
        (65535, InternalError),
        (123456, InternalError),
    ],
)
@pytest.mark.parametrize("kind", [milvus.MilvusException, milvus.DescribeCollectionException])
def test_codes_of_the_server_decide(
    kind: type[milvus.MilvusException], code: int, expected: type[VitrineError]
) -> None:
    assert type(translate(kind(code, "no reason"), "search", collection="c")) is expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("proxy TaskCondition context Done", DeadlineExceeded),
        ("fail to search: context deadline exceeded", DeadlineExceeded),
        ("failed to search on shard leader 3", VectorStoreUnavailable),
        ("index type not supported[indexType=DISKANN]", InvalidInput),
        ("create duplicate collection with different parameters, collection: c", InvalidInput),
        ("querynode is not healthy", VectorStoreUnavailable),
        ("cannot parse expression: foo ==", InternalError),
    ],
)
def test_reasons_decide_where_the_code_says_unexpected(reason: str, expected: type[VitrineError]) -> None:
    assert type(translate(milvus.MilvusException(65535, reason), "search")) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (milvus.ParamError(message="bad"), InvalidInput),
        (milvus.ConnectError(message="bad"), VectorStoreUnavailable),
        (milvus.DataNotMatchException(message="bad"), InvalidInput),
        (rpc_error(grpc.StatusCode.UNAVAILABLE), VectorStoreUnavailable),
        (rpc_error(grpc.StatusCode.UNKNOWN, "Milvus Proxy is not ready yet. please wait"), VectorStoreUnavailable),
        (rpc_error(grpc.StatusCode.UNKNOWN), InternalError),
        (rpc_error(grpc.StatusCode.DEADLINE_EXCEEDED), DeadlineExceeded),
        (rpc_error(grpc.StatusCode.UNAUTHENTICATED), VectorStoreUnavailable),
        (rpc_error(grpc.StatusCode.INVALID_ARGUMENT), InternalError),
        (UsageError("Channel is closed."), VectorStoreUnavailable),
        (TimeoutError(), DeadlineExceeded),
        (ValueError("a defect"), InternalError),
    ],
)
def test_errors_of_the_client_and_of_grpc(error: Exception, expected: type[VitrineError]) -> None:
    assert type(translate(error, "search")) is expected


def test_the_first_line_of_the_reason_is_told_and_the_vendors_error_is_the_cause() -> None:
    vendors = milvus.MilvusException(65535, "segment 7 is damaged\ngithub.com/milvus-io/...\n" + "x" * 5000)
    with (
        pytest.raises(InternalError, match=r"Milvus could not search: segment 7 is damaged$") as caught,
        vendor_errors("search"),
    ):
        raise vendors
    assert caught.value.__cause__ is vendors


def test_the_collection_stands_in_the_details() -> None:
    error = translate(
        milvus.MilvusException(101, "collection not loaded[collection=470]"), "search", collection="shoes"
    )
    assert error.details["collection"] == "shoes"
    assert "shoes" in error.message


def test_an_error_without_a_meaning_after_the_time_is_up_is_the_deadlines() -> None:
    with pytest.raises(DeadlineExceeded), vendor_errors("search", timeout=0.0):
        raise milvus.MilvusException(65535, "something unexpected")
    with pytest.raises(InternalError), vendor_errors("search", timeout=60.0):
        raise milvus.MilvusException(65535, "something unexpected")


def test_our_own_errors_and_cancellation_pass_untouched() -> None:
    own = ItemNotFound("gone")
    with pytest.raises(ItemNotFound) as caught, vendor_errors("search"):
        raise own
    assert caught.value is own
    with pytest.raises(asyncio.CancelledError), vendor_errors("search"):
        raise asyncio.CancelledError
