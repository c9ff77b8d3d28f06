"""Calls that change something. Each names what it changes, so that sending it twice is sending it once."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, Required, TypedDict, Unpack

from vitrine.client.answers import BulkDeleted, BulkWritten, FieldValue, LoadState, StoredItem
from vitrine.client.call import Call, Received, as_bytes, as_model, json_call, refusal, said, segment, timeout_header
from vitrine.client.parts import Picture, image_url

_NO_SUCH_ITEM: Final = "item_not_found"


class ItemContent(TypedDict, total=False):
    """What is stored of a product; what is left out is empty afterwards.

    image: its picture, which need not be given where the server finds one at `image_path`.
    image_path: where the picture is below the server's own folder; hits carry it as `image_url`.
    title: what a person calls it. group: shared by the products of one design.
    fields: values of the collection's own fields.
    """

    image: Picture | None
    image_path: str | None
    title: str | None
    group: str | None
    fields: Mapping[str, FieldValue | None] | None


class NewItem(ItemContent, total=False):
    """One product of several, with its id."""

    id: Required[str]


def put_item(collection: str, item_id: str, timeout_ms: int | None, **content: Unpack[ItemContent]) -> Call[StoredItem]:
    """Stores a product in place of what its id had before.

    Raises:
        ImageMissing, ImageUnreadable
    """
    path = _item_path(collection, item_id)
    return json_call("PUT", path, _content_body(content), as_model(StoredItem), timeout_header(timeout_ms))


def put_items(collection: str, items: Sequence[NewItem], timeout_ms: int | None) -> Call[BulkWritten]:
    """Stores several.

    Raises:
        ImageMissing, ImageUnreadable
    """
    body = {"items": [_content_body(item) for item in items]}
    return json_call("POST", _items_path(collection), body, as_model(BulkWritten), timeout_header(timeout_ms))


def delete_item(collection: str, item_id: str, timeout_ms: int | None) -> Call[bool]:
    """Deletes a product."""
    return Call("DELETE", _item_path(collection, item_id), _was_there, timeout_header(timeout_ms))


def delete_items(collection: str, ids: Sequence[str], timeout_ms: int | None) -> Call[BulkDeleted]:
    """Deletes several."""
    path = f"{_items_path(collection)}:delete"
    return json_call("POST", path, {"ids": list(ids)}, as_model(BulkDeleted), timeout_header(timeout_ms))


def load(name: str, timeout_ms: int | None) -> Call[LoadState]:
    """Brings a collection into memory."""
    path = f"/v1/collections/{segment(name)}/load"
    return Call("POST", path, as_model(LoadState), timeout_header(timeout_ms))


def release(name: str) -> Call[LoadState]:
    """Takes a collection out of memory."""
    return Call("POST", f"/v1/collections/{segment(name)}/release", as_model(LoadState))


def _items_path(collection: str) -> str:
    return f"/v1/collections/{segment(collection)}/items"


def _item_path(collection: str, item_id: str) -> str:
    return f"{_items_path(collection)}/{segment(item_id)}"


def _content_body(content: ItemContent) -> dict[str, object]:
    body = said(content)
    picture = content.get("image")
    return body if picture is None else {**body, "image": image_url(picture)}


def _was_there(received: Received) -> bool:
    if received.status == HTTPStatus.NOT_FOUND and refusal(received).code == _NO_SUCH_ITEM:
        return False
    as_bytes(received)
    return True
