"""Typed clients of the HTTP API."""

from vitrine.client.client import (
    ApiError,
    Client,
    GatewayUnreachable,
    SearchAnswer,
    SearchHit,
    SearchModel,
)

__all__ = ["ApiError", "Client", "GatewayUnreachable", "SearchAnswer", "SearchHit", "SearchModel"]
