"""Vitrine: text-to-image product search on Triton and Milvus.

What a shop's own code needs is here by name: `from vitrine import Client, image, item, text`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitrine.client import ApiError, AsyncClient, Client, GatewayUnreachable, image, item, text

__all__ = ["ApiError", "AsyncClient", "Client", "GatewayUnreachable", "image", "item", "text"]


def __getattr__(name: str) -> object:
    # The servers import this package too, and have no use for an HTTP client.
    if name in __all__:
        from vitrine import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
