"""Milvus's bulk import: files that the server itself reads become sealed segments, past its log and its proxy.

Two interfaces of the same thing. Milvus 2.3 has it in its gRPC service, newer ones over HTTP beside it. Either way one
job takes one file here, so that rows can be reconciled file by file. Neither replaces rows of the same id.
"""

import json
import logging
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from pymilvus import exceptions as milvus
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    NotFound,
    VectorStoreUnavailable,
    VitrineError,
)
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.connection import MilvusConnection, vendor_errors
from vitrine.vectorstore.tls import trusted_authorities

OLDEST = (2, 3, 5)
"""The oldest server whose import of Parquet was tried."""

_REST_SINCE = (2, 4)
_MOST_JOBS_LISTED = 65_536  # more than either server remembers
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DEFAULT_PORTS = {"https": 443, "http": 19_530}  # pymilvus's
_log = logging.getLogger(__name__)
_PATHS = re.compile(r'paths:"((?:[^"\\]|\\.)*)"')


class BulkImportUnsupported(VitrineError):
    """This server cannot import files, or not those that are written here."""

    code = "bulk_import_unsupported"


class _NotSpoken(VectorStoreUnavailable):
    """No answer, or none of Milvus's REST interface."""


class JobState(StrEnum):
    """Milvus tells more shades of the first one; none of them matters to who waits."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImportJob:
    """One job as the server tells it.

    Args:
        id: the server's.
        file: the path that was submitted; empty when the server does not say.
        rows: imported; 0 until it is known.
        share: done, from 0.0 to 1.0.
        reason: of a failure.
    """

    id: str
    file: str
    state: JobState
    rows: int
    share: float
    reason: str = ""


class BulkImporter(Protocol):
    """`RpcImporter` and `RestImporter`. All raise VectorStoreUnavailable, DeadlineExceeded and CollectionNotFound."""

    async def submit(self, collection: str, file: str) -> str:
        """Begins a job for one file, named as the server finds it; its id."""

    async def job(self, job_id: str) -> ImportJob:
        """How far a job is."""

    async def jobs_of(self, collection: str) -> list[ImportJob]:
        """Every job of the collection that the server remembers (2.3: a day, 2.6: three hours after its end)."""


@asynccontextmanager
async def bulk_importer(connection: MilvusConnection) -> AsyncIterator[BulkImporter]:
    """The interface that this server has. Nothing is changed on the server.

    Raises:
        BulkImportUnsupported: it has none.
        VectorStoreUnavailable, DeadlineExceeded: it does not answer.
    """
    version = await connection.server_version()
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers and numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BulkImportUnsupported(
            f"Bulk import needs Milvus {oldest} or newer; this one is {version}.", server=version
        )
    # A version without numbers ("master") is a newer one.
    if not numbers or numbers >= _REST_SINCE:
        async with _http_client(connection.settings) as client:
            rest = RestImporter(client, connection.settings)
            await rest.probe()
            yield rest
        return
    rpc = RpcImporter(connection)
    await rpc.probe()
    yield rpc


class RpcImporter:
    """Milvus 2.3: `Import`, `GetImportState` and `ListImportTasks` of its gRPC service."""

    def __init__(self, connection: MilvusConnection) -> None:
        self._connection = connection
        self._timeout_s = connection.settings.search_timeout_s

    async def probe(self) -> None:
        """Raises BulkImportUnsupported: the server does not know the calls, as milvus-lite does not."""
        try:
            await self._call("ListImportTasks", milvus_pb2.ListImportTasksRequest(limit=1), "list import jobs")
        except VectorStoreUnavailable as error:
            if "unimplemented" in str(error.message).lower():
                raise BulkImportUnsupported(f"This Milvus has no bulk import: {error.message}") from error
            raise

    async def submit(self, collection: str, file: str) -> str:
        request = milvus_pb2.ImportRequest(collection_name=collection, row_based=False, files=[file])
        answer = await self._call("Import", request, "begin an import", collection)
        (task,) = answer.tasks
        return str(task)

    async def job(self, job_id: str) -> ImportJob:
        request = milvus_pb2.GetImportStateRequest(task=int(job_id))
        return _job_of_task(await self._call("GetImportState", request, "tell an import's state"))

    async def jobs_of(self, collection: str) -> list[ImportJob]:
        described = await self._call(
            "DescribeCollection",
            milvus_pb2.DescribeCollectionRequest(collection_name=collection),
            "describe the collection",
            collection,
        )
        request = milvus_pb2.ListImportTasksRequest(collection_name=collection, limit=_MOST_JOBS_LISTED)
        answer = await self._call("ListImportTasks", request, "list import jobs", collection)
        # A dropped collection of the same name has left its jobs.
        return [_job_of_task(task) for task in answer.tasks if task.collection_id == described.collectionID]

    async def _call(self, method: str, request: Any, doing: str, collection: str = "") -> Any:
        return await self._connection.call(method, request, seconds=self._timeout_s, doing=doing, collection=collection)


class RestImporter:
    """Milvus 2.4 and newer: `/v2/vectordb/jobs/import` on the proxy's port.

    Args:
        client: of that address; stays the caller's to close.
    """

    def __init__(self, client: httpx.AsyncClient, settings: MilvusSettings) -> None:
        self._client = client
        self._database = settings.database
        self._timeout_s = settings.search_timeout_s

    async def probe(self) -> None:
        """Raises BulkImportUnsupported: nothing there speaks that interface."""
        try:
            await self._ask("list", {"collectionName": ""}, "list import jobs")
        except _NotSpoken as error:
            # It answered over gRPC at this very address a moment ago.
            raise BulkImportUnsupported(
                f"The REST interface that imports are asked through does not answer: {error.message} "
                "Is proxy.http.enabled off?"
            ) from error
        except (InvalidInput, NotFound, InternalError) as refusal:
            _log.debug("It is there, and wants to be asked about one collection: %s", refusal.message)

    async def submit(self, collection: str, file: str) -> str:
        told = await self._ask(
            "create", {"collectionName": collection, "files": [[file]]}, "begin an import", collection
        )
        return str(told["jobId"])

    async def job(self, job_id: str) -> ImportJob:
        return _job_of_answer(job_id, await self._ask("describe", {"jobId": job_id}, "tell an import's state"))

    async def jobs_of(self, collection: str) -> list[ImportJob]:
        told = await self._ask("list", {"collectionName": collection}, "list import jobs", collection)
        return [await self.job(str(record["jobId"])) for record in told.get("records") or ()]

    async def _ask(self, verb: str, content: Mapping[str, Any], doing: str, collection: str = "") -> dict[str, Any]:
        body = {"dbName": self._database, **content}
        with vendor_errors(doing, collection=collection, timeout=self._timeout_s):
            answer = await self._posted(f"/v2/vectordb/jobs/import/{verb}", body, doing)
            code = int(answer.get("code", -1))
            if code not in (0, 200):  # 200 was its word for "well done" once
                raise milvus.MilvusException(code=code, message=str(answer.get("message", "no reason given")))
            data = answer.get("data")
            return data if isinstance(data, dict) else {}

    async def _posted(self, path: str, body: Mapping[str, Any], doing: str) -> dict[str, Any]:
        try:
            response = await self._client.post(path, json=body, timeout=self._timeout_s)
            answer = json.loads(response.content) if response.status_code == httpx.codes.OK else None
        except httpx.TimeoutException as error:
            raise DeadlineExceeded(f"Milvus did not {doing} in time.") from error
        except (httpx.TransportError, ValueError) as error:
            raise _NotSpoken(f"Milvus could not {doing}: {type(error).__name__} {error}.") from error
        if not isinstance(answer, dict):
            raise _NotSpoken(f"Milvus could not {doing}: it answers with status {response.status_code}.")
        return answer


def _http_client(settings: MilvusSettings) -> httpx.AsyncClient:
    address = urlsplit(settings.uri)
    host = address.hostname or ""
    scheme = "https" if address.scheme == "https" else "http"
    token = settings.token.get_secret_value()
    headers = {"DB-Name": settings.database} | ({"Authorization": f"Bearer {token}"} if token else {})
    shown = f"[{host}]" if ":" in host else host
    return httpx.AsyncClient(
        base_url=f"{scheme}://{shown}:{address.port or _DEFAULT_PORTS[scheme]}",
        headers=headers,
        verify=trusted_authorities(settings) or True,
        trust_env=host not in _LOOPBACK,
    )


def _job_of_task(task: Any) -> ImportJob:
    """From Milvus 2.3. "Persisted" is not done: its rows cannot be searched yet."""
    told = {pair.key: pair.value for pair in task.infos}
    match task.state:
        case common_pb2.ImportState.ImportCompleted:
            state = JobState.DONE
        case common_pb2.ImportState.ImportFailed | common_pb2.ImportState.ImportFailedAndCleaned:
            state = JobState.FAILED
        case _:
            state = JobState.RUNNING
    share = 1.0 if state is JobState.DONE else _percent(told.get("progress_percent"))
    return ImportJob(
        str(task.id), told.get("files", ""), state, int(task.row_count), share, told.get("failed_reason", "")
    )


def _job_of_answer(job_id: str, told: Mapping[str, Any]) -> ImportJob:
    """From Milvus 2.4 and newer, where a file is told as `id:1 paths:"a/b.parquet"`."""
    details = told.get("details") or ()
    names = [str(detail.get("fileName", "")) for detail in details]
    paths = [found[1] for name in names if (found := _PATHS.search(name))]
    state = {"Completed": JobState.DONE, "Failed": JobState.FAILED}.get(str(told.get("state")), JobState.RUNNING)
    reasons = [str(told.get("reason") or "")] + [str(detail.get("reason") or "") for detail in details]
    return ImportJob(
        job_id,
        paths[0] if paths else "",
        state,
        int(told.get("importedRows") or 0),
        1.0 if state is JobState.DONE else _percent(told.get("progress")),
        next((reason for reason in reasons if reason), ""),
    )


def _percent(told: object) -> float:
    try:
        return min(1.0, max(0.0, float(str(told)) / 100))
    except ValueError:
        return 0.0
