"""Hooks of the contract test: a request that asks for less time than any work takes is answered 504, and rightly so.

Generated deadlines are therefore raised to two seconds; what is no deadline at all stays as it was generated.
"""

from typing import Any

import schemathesis

ENOUGH_MS = 2_000
NAMES = {"timeout_ms", "X-Timeout-Ms"}


def _patient(node: Any) -> Any:
    if isinstance(node, list):
        return [_patient(child) for child in node]
    if not isinstance(node, dict):
        return node
    return {name: _enough(value) if name in NAMES else _patient(value) for name, value in node.items()}


def _enough(value: Any) -> Any:
    try:
        short = not isinstance(value, bool) and 0 < int(value) < ENOUGH_MS
    except (TypeError, ValueError, OverflowError):
        return value
    return type(value)(ENOUGH_MS) if short else value


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    return _patient(body)


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    return _patient(query)


@schemathesis.hook
def map_headers(context: Any, headers: Any) -> Any:
    return _patient(headers)
