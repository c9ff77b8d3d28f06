"""The two interfaces to Milvus's import. The newer one is spoken by a server of this test, in its documented words."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest
from pydantic import SecretStr
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vitrine.errors import CollectionNotFound, InvalidInput, VectorStoreUnavailable
from vitrine.settings import MilvusSettings
from vitrine.vectorstore.bulk_import import BulkImportUnsupported, ImportJob, JobState, bulk_importer
from vitrine.vectorstore.connection import MilvusConnection

Answer = Callable[[dict[str, Any]], tuple[int, object]]


@dataclass
class RestMilvus:
    """What was asked, and what is answered: by path, a function of the body."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    port: int = 0

    def says(self, verb: str, data: object, code: int = 0, status: int = 200) -> None:
        content = {"code": code, "data": data} if code in (0, 200) else {"code": code, "message": data}
        self.answers[f"/v2/vectordb/jobs/import/{verb}"] = lambda _body: (status, content)


@pytest.fixture
def rest() -> Iterator[RestMilvus]:
    milvus = RestMilvus()
    milvus.says("list", {"records": []})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            milvus.asked.append((self.path, body, dict(self.headers.items())))
            status, content = milvus.answers.get(self.path, lambda _body: (404, "404 page not found"))(body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        milvus.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield milvus
        server.shutdown()
        thread.join()


@dataclass
class Connection:
    """Stands for a connection to a server of some version; calls are answered by name."""

    settings: MilvusSettings
    version: str
    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    async def server_version(self) -> str:
        return self.version

    async def call(self, method: str, request: Any, **_options: Any) -> Any:
        self.asked.append((method, request))
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def connected(version: str, port: int = 1, **answers: Any) -> MilvusConnection:
    settings = MilvusSettings(uri=f"http://127.0.0.1:{port}", token=SecretStr("root:secret"), database="shop")
    return cast("MilvusConnection", Connection(settings, version, answers))


def task(state: Any, **infos: str) -> milvus_pb2.GetImportStateResponse:
    pairs = [common_pb2.KeyValuePair(key=key, value=value) for key, value in infos.items()]
    return milvus_pb2.GetImportStateResponse(id=7, state=state, row_count=40, infos=pairs, collection_id=3)


@pytest.mark.parametrize("version", ["2.2.16", "2.3.4", "2.3.0"])
async def test_a_server_that_is_too_old_is_refused_before_it_is_asked_anything(version: str) -> None:
    connection = connected(version)
    with pytest.raises(BulkImportUnsupported, match=version):
        async with bulk_importer(connection):
            pytest.fail("there is nothing to import with")
    assert cast("Connection", connection).asked == []


async def test_a_server_without_the_calls_is_refused() -> None:
    unknown = VectorStoreUnavailable("Milvus could not list import jobs: Method not implemented! (UNIMPLEMENTED)")
    with pytest.raises(BulkImportUnsupported):
        async with bulk_importer(connected("2.3.5", ListImportTasks=unknown)):
            pytest.fail("there is nothing to import with")


async def test_a_server_that_is_away_is_not_called_unable() -> None:
    away = VectorStoreUnavailable("Milvus could not list import jobs: connection refused")
    with pytest.raises(VectorStoreUnavailable):
        async with bulk_importer(connected("2.3.5", ListImportTasks=away)):
            pytest.fail("there is nothing to import with")


@pytest.mark.parametrize(
    ("state", "infos", "job"),
    [
        (common_pb2.ImportState.ImportPending, {}, ImportJob("7", "a.parquet", JobState.RUNNING, 40, 0.0)),
        (
            common_pb2.ImportState.ImportPersisted,
            {"progress_percent": "90"},
            ImportJob("7", "a.parquet", JobState.RUNNING, 40, 0.9),
        ),
        (common_pb2.ImportState.ImportCompleted, {}, ImportJob("7", "a.parquet", JobState.DONE, 40, 1.0)),
        (
            common_pb2.ImportState.ImportFailed,
            {"failed_reason": "no such file", "progress_percent": "x"},
            ImportJob("7", "a.parquet", JobState.FAILED, 40, 0.0, "no such file"),
        ),
        (
            common_pb2.ImportState.ImportFailedAndCleaned,
            {"failed_reason": "no such file"},
            ImportJob("7", "a.parquet", JobState.FAILED, 40, 0.0, "no such file"),
        ),
    ],
)
async def test_tasks_of_milvus_23_are_jobs(state: Any, infos: dict[str, str], job: ImportJob) -> None:
    answers = {
        "ListImportTasks": milvus_pb2.ListImportTasksResponse(),
        "GetImportState": task(state, files="a.parquet", **infos),
    }
    async with bulk_importer(connected("2.3.5", **answers)) as importer:
        assert await importer.job("7") == job


async def test_jobs_of_a_dropped_collection_of_the_same_name_are_left_out() -> None:
    mine = task(common_pb2.ImportState.ImportCompleted, files="mine.parquet")
    dropped = milvus_pb2.GetImportStateResponse(id=6, collection_id=2)
    answers = {
        "ListImportTasks": milvus_pb2.ListImportTasksResponse(tasks=[dropped, mine]),
        "DescribeCollection": milvus_pb2.DescribeCollectionResponse(collectionID=3),
    }
    async with bulk_importer(connected("2.3.5", **answers)) as importer:
        assert [job.file for job in await importer.jobs_of("shop_v1")] == ["mine.parquet"]


async def test_a_file_is_submitted_by_its_path() -> None:
    answers = {
        "ListImportTasks": milvus_pb2.ListImportTasksResponse(),
        "Import": milvus_pb2.ImportResponse(tasks=[12]),
    }
    connection = connected("2.3.5", **answers)
    async with bulk_importer(connection) as importer:
        assert await importer.submit("shop_v1", "/data/rows-000001.parquet") == "12"
    method, request = cast("Connection", connection).asked[-1]
    assert (method, request.collection_name, list(request.files)) == (
        "Import",
        "shop_v1",
        ["/data/rows-000001.parquet"],
    )


@pytest.mark.parametrize("version", ["2.4.0", "2.6.22", "3.0.1", "master"])
async def test_newer_servers_are_asked_over_rest_with_token_and_database(rest: RestMilvus, version: str) -> None:
    rest.says("create", {"jobId": "448761313698322011"})
    async with bulk_importer(connected(version, rest.port)) as importer:
        assert await importer.submit("shop_v1", "bulk/rows-000001.parquet") == "448761313698322011"
    path, body, headers = rest.asked[-1]
    assert path == "/v2/vectordb/jobs/import/create"
    assert body == {"dbName": "shop", "collectionName": "shop_v1", "files": [["bulk/rows-000001.parquet"]]}
    assert headers["Authorization"] == "Bearer root:secret"


@pytest.mark.parametrize(
    ("told", "job"),
    [
        ({"state": "Pending", "progress": 0}, ImportJob("5", "", JobState.RUNNING, 0, 0.0)),
        (
            {
                "state": "Importing",
                "progress": 60,
                "importedRows": 20,
                "details": [{"fileName": 'id:448 paths:"bulk/rows-000001.parquet" ', "state": "Importing"}],
            },
            ImportJob("5", "bulk/rows-000001.parquet", JobState.RUNNING, 20, 0.6),
        ),
        (
            {
                "state": "Completed",
                "progress": 100,
                "importedRows": 40,
                "totalRows": 40,
                "details": [{"fileName": 'id:448 paths:"bulk/rows-000001.parquet" '}],
            },
            ImportJob("5", "bulk/rows-000001.parquet", JobState.DONE, 40, 1.0),
        ),
        (
            {"state": "Failed", "progress": 0, "reason": "the field: x is not in schema", "details": None},
            ImportJob("5", "", JobState.FAILED, 0, 0.0, "the field: x is not in schema"),
        ),
        (
            {"state": "Failed", "details": [{"fileName": "", "reason": "no such object"}]},
            ImportJob("5", "", JobState.FAILED, 0, 0.0, "no such object"),
        ),
    ],
)
async def test_answers_of_newer_servers_are_jobs(rest: RestMilvus, told: dict[str, Any], job: ImportJob) -> None:
    rest.says("list", {"records": [{"jobId": "5", "state": told["state"]}]})
    rest.says("describe", told)
    async with bulk_importer(connected("2.6.22", rest.port)) as importer:
        assert await importer.jobs_of("shop_v1") == [job]


async def test_a_collection_without_jobs_has_none(rest: RestMilvus) -> None:
    rest.says("list", {})
    async with bulk_importer(connected("2.6.22", rest.port)) as importer:
        assert await importer.jobs_of("shop_v1") == []


@pytest.mark.parametrize(
    ("code", "error"), [(100, CollectionNotFound), (1100, InvalidInput), (1800, VectorStoreUnavailable)]
)
async def test_refusals_over_rest_are_the_products_errors(rest: RestMilvus, code: int, error: type[Exception]) -> None:
    rest.says("create", "told by Milvus", code=code)
    async with bulk_importer(connected("2.6.22", rest.port)) as importer:
        with pytest.raises(error):
            await importer.submit("shop_v1", "bulk/rows-000001.parquet")


@pytest.mark.parametrize("status", [404, 502])
async def test_an_address_without_the_rest_interface_is_refused(rest: RestMilvus, status: int) -> None:
    rest.says("list", {}, status=status)
    with pytest.raises(BulkImportUnsupported, match=str(status)):
        async with bulk_importer(connected("2.6.22", rest.port)):
            pytest.fail("there is nothing to import with")


@pytest.mark.parametrize("code", [100, 1100])
async def test_an_interface_that_wants_a_collection_named_is_there(rest: RestMilvus, code: int) -> None:
    rest.says("list", "missing required parameters", code=code)
    rest.says("create", {"jobId": "1"})
    async with bulk_importer(connected("2.6.22", rest.port)) as importer:
        assert await importer.submit("shop_v1", "a.parquet") == "1"


async def test_credentials_that_are_refused_are_not_called_a_missing_interface(rest: RestMilvus) -> None:
    rest.says("list", "auth check failure", code=1800)
    with pytest.raises(VectorStoreUnavailable, match="auth check failure"):
        async with bulk_importer(connected("2.6.22", rest.port)):
            pytest.fail("there is nothing to import with")


async def test_a_port_where_nothing_speaks_http_is_refused() -> None:
    with pytest.raises(BulkImportUnsupported, match=r"proxy\.http\.enabled"):
        async with bulk_importer(connected("2.6.22", 1)):
            pytest.fail("there is nothing to import with")


async def test_an_answer_that_is_no_json_is_an_error_and_no_crash(rest: RestMilvus) -> None:
    rest.answers["/v2/vectordb/jobs/import/create"] = lambda _body: (200, ["no", "object"])
    async with bulk_importer(connected("2.6.22", rest.port)) as importer:
        with pytest.raises(VectorStoreUnavailable):
            await importer.submit("shop_v1", "bulk/rows-000001.parquet")
