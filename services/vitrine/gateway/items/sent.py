"""Bodies of write requests, turned into items to be stored or reasons why they are none."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from vitrine.domain import FieldValue
from vitrine.errors import LimitExceeded
from vitrine.gateway.bodies import MULTIPART, findings_of, invalid_input, read_form, read_json
from vitrine.gateway.bounds import bounds_of
from vitrine.gateway.items.checking import SentItem
from vitrine.gateway.items.writing import Entry
from vitrine.gateway.schemas.items import BulkItem, Fields, ItemBody, ItemForm
from vitrine.settings import Settings
from vitrine.vectorstore.columns import can_be_id

IMAGE_FIELD = "image"


async def read_item(request: Request, item_id: str) -> SentItem:
    """The item of a PUT, which is JSON or a multipart form.

    Raises:
        ContentTypeUnsupported, JsonMalformed, FormMalformed, TextMalformed, InvalidInput: it is neither.
        BodyTooLarge, BodyTimedOut, ClientGone: see `admission.BodyLimit`.
    """
    if not request.headers.get("content-type", "").lower().startswith(MULTIPART):
        return _from_body(item_id, await read_json(request, ItemBody))
    form, picture = await read_form(request, ItemForm, IMAGE_FIELD)
    return SentItem(item_id, picture, form.image_path, form.title, form.group, _fields(form.fields))


def from_entries(entries: Sequence[Mapping[str, Any]], settings: Settings) -> list[Entry]:
    """The items of a bulk request, and what is wrong with those that are none."""
    return [_entry(entry, settings) for entry in entries]


def id_of(entry: Mapping[str, Any]) -> str | None:
    """What an entry says its id is, if that could be one, so that its sender finds it again."""
    sent = entry.get("id")
    return sent if isinstance(sent, str) and can_be_id(sent) else None


def check_count(name: str, found: int, settings: Settings) -> None:
    """Raises LimitExceeded: more entries than a bulk request may have."""
    most = settings.items.max_bulk
    if found > most:
        raise LimitExceeded(f"A request holds {most} items at most, not {found}.", field=name, minimum=1, maximum=most)


def _entry(entry: Mapping[str, Any], settings: Settings) -> Entry:
    try:
        body = BulkItem.model_validate(entry)
    except ValidationError as error:
        return invalid_input(findings_of(error), bounds_of(settings))
    return _from_body(body.id, body)


def _from_body(item_id: str, body: ItemBody) -> SentItem:
    return SentItem(item_id, body.image, body.image_path, body.title, body.group, body.fields)


def _fields(text: str) -> Mapping[str, FieldValue | None]:
    try:
        return _FIELDS.validate_json(text, strict=True)
    except ValidationError as error:
        findings = [{**finding, "loc": ("fields", *finding["loc"])} for finding in findings_of(error)]
        raise invalid_input(findings, {}) from error


_FIELDS: TypeAdapter[dict[str, FieldValue | None]] = TypeAdapter(Fields)
