"""Errors and readiness reports."""

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """An error, after RFC 9457. Match on `code`, never on the texts."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    trace_id: str | None = None
    details: dict[str, Any] | None = None


class CheckAnswer(BaseModel):
    """One line of a readiness report."""

    name: str
    ok: bool
    code: str | None = None
    detail: str | None = None
    details: dict[str, Any] | None = None


class ReadyAnswer(BaseModel):
    """All is well."""

    status: str
    fingerprint: str
    checks: list[CheckAnswer]


class NotReadyProblem(Problem):
    """What is not well."""

    fingerprint: str
    checks: list[CheckAnswer]
