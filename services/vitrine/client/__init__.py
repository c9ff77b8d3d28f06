"""Typed clients of the HTTP API, and what they take and give."""

from vitrine.client.answers import (
    BulkDeleted,
    BulkOutcome,
    BulkWritten,
    Check,
    Collection,
    CollectionField,
    CollectionIndex,
    Embeddings,
    Facet,
    FacetValue,
    Item,
    Limit,
    LoadState,
    Readiness,
    SearchAnswer,
    SearchHit,
    SearchModel,
    StoredItem,
    WriteOutcome,
)
from vitrine.client.async_client import AsyncClient
from vitrine.client.client import Client
from vitrine.client.errors import ApiError, GatewayUnreachable
from vitrine.client.parts import ImagePart, ItemPart, TextPart, image, item, text
from vitrine.client.searching import OneSearch, SearchOptions
from vitrine.client.writing import ItemContent, NewItem

__all__ = [
    "ApiError",
    "AsyncClient",
    "BulkDeleted",
    "BulkOutcome",
    "BulkWritten",
    "Check",
    "Client",
    "Collection",
    "CollectionField",
    "CollectionIndex",
    "Embeddings",
    "Facet",
    "FacetValue",
    "GatewayUnreachable",
    "ImagePart",
    "Item",
    "ItemContent",
    "ItemPart",
    "Limit",
    "LoadState",
    "NewItem",
    "OneSearch",
    "Readiness",
    "SearchAnswer",
    "SearchHit",
    "SearchModel",
    "SearchOptions",
    "StoredItem",
    "TextPart",
    "WriteOutcome",
    "image",
    "item",
    "text",
]
