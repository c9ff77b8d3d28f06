import importlib
import pkgutil
import subprocess
import sys
from http import HTTPStatus

import pytest

import vitrine.gateway
from vitrine import errors
from vitrine.errors import ContractMismatch, InternalError, Overloaded, VitrineError
from vitrine.gateway.context import RequestContext
from vitrine.gateway.errors import ANSWERS, BodyTooLarge, answer_of, problem_of, problem_response
from vitrine.telemetry.stages import StageClock

# What these raise never passes through the gateway: the client is its other end, the rest are other processes.
_ELSEWHERE = (
    *("vitrine.client", "vitrine.cli", "vitrine.local", "vitrine.indexer", "vitrine.demo", "vitrine.models"),
    *("vitrine.promotion", "vitrine.tuning.tune_job", "vitrine.vectorstore.bulk_import"),
)


def _all_kinds(kind: type[VitrineError]) -> set[type[VitrineError]]:
    return {kind}.union(*(_all_kinds(child) for child in kind.__subclasses__()))


def _context() -> RequestContext:
    return RequestContext("r-1", StageClock())


def test_every_error_there_is_has_its_own_line_in_the_table() -> None:
    for module in pkgutil.walk_packages(vitrine.gateway.__path__, "vitrine.gateway."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    kinds = {kind for kind in _all_kinds(VitrineError) if kind.__module__.startswith("vitrine.")}
    ours = {kind for kind in kinds if not kind.__module__.startswith(_ELSEWHERE)}
    assert len(ours) >= 30
    assert ours - ANSWERS.keys() == set()


def test_what_is_elsewhere_is_never_loaded_by_the_gateway() -> None:
    question = (
        "import sys, vitrine.gateway.serving;"
        "print([name for name in sys.modules if name.startswith(tuple(sys.argv[1:]))])"
    )
    loaded = subprocess.run([sys.executable, "-c", question, *_ELSEWHERE], text=True, capture_output=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_every_line_of_the_table_is_a_status_of_http() -> None:
    for kind, answer in ANSWERS.items():
        assert HTTPStatus(answer.status).value >= 400, kind
        assert answer.title


def test_two_errors_of_one_status_are_told_apart_by_code() -> None:
    # The base class and InternalError are the same thing to a caller: our fault.
    codes = [kind.code for kind in ANSWERS if kind is not VitrineError]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.QueryEmpty, 422),
        (errors.QueryTooLarge, 413),
        (errors.ImageTooManyPixels, 413),
        (errors.ImageFormatUnsupported, 415),
        (errors.ImageCorrupt, 422),
        (errors.LimitExceeded, 422),
        (errors.CollectionNotFound, 404),
        (errors.EncoderUnavailable, 503),
        (errors.VectorStoreUnavailable, 503),
        (errors.Overloaded, 503),
        (errors.ContractMismatch, 503),
        (errors.DeadlineExceeded, 504),
        (errors.InternalError, 500),
    ],
)
def test_statuses_that_clients_rely_on(kind: type[VitrineError], status: int) -> None:
    assert answer_of(kind("x")).status == status


def test_an_unlisted_child_is_answered_as_its_parent() -> None:
    child = type("QueueFull", (Overloaded,), {"code": "queue_full", "__module__": "tests"})
    assert answer_of(child("full")).status == 503


def test_a_problem_carries_code_request_id_and_details() -> None:
    error = ContractMismatch("Two models.", expected="a" * 64, found="b" * 64)
    assert problem_of(error, _context()) == {
        "type": "urn:vitrine:problem:contract_mismatch",
        "title": "Two models would be mixed",
        "status": 503,
        "detail": "Two models.",
        "code": "contract_mismatch",
        "request_id": "r-1",
        "details": {"expected": "a" * 64, "found": "b" * 64},
    }


def test_what_an_internal_error_says_is_not_told() -> None:
    problem = problem_of(InternalError("password=hunter2", path="/etc/shadow"), _context())
    assert "hunter2" not in str(problem)
    assert "shadow" not in str(problem)
    assert problem["code"] == "internal"


def test_headers_tell_when_to_come_back_and_when_to_hang_up() -> None:
    assert problem_response(Overloaded("full"), _context()).headers["retry-after"] == "1"
    assert problem_response(BodyTooLarge("large"), _context()).headers["connection"] == "close"
    plain = problem_response(errors.QueryEmpty("empty"), _context())
    assert "retry-after" not in plain.headers
    assert plain.headers["cache-control"] == "no-store"
    assert plain.media_type == "application/problem+json"
