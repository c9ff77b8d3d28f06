"""What callers say of an item, checked against the collection that shall hold it.

Nothing is cut to fit here: a catalogue of a hundred thousand rows is indexed as far as it goes, but whoever writes one
item is there to mend it.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

from vitrine.domain import CatalogueItem, FieldSpec, FieldType, FieldValue
from vitrine.errors import InvalidInput, LimitExceeded, TextMalformed
from vitrine.vectorstore.collection import GROUP_BYTES, ID_BYTES, IMAGE_PATH_BYTES, TITLE_BYTES
from vitrine.vectorstore.columns import ABSENT, INTEGER_RANGE, can_be_id

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs"})
_REPLACEMENT: Final = "\ufffd"
"""What the HTTP layer makes of bytes in an address that are no UTF-8."""
_MOST_ERRORS_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class SentItem:
    """An item as a caller sends it.

    Args:
        picture: an encoded picture, a `data:` URL or address of one, or None: it lies at `image_path`.
        image_path: relative to the folder of pictures; may be empty.
        fields: by name; None where the item has no value.
    """

    id: str
    picture: bytes | str | None = None
    image_path: str = ""
    title: str = ""
    group: str = ""
    fields: Mapping[str, FieldValue | None] | None = None


def checked_item(sent: SentItem, fields: Sequence[FieldSpec]) -> CatalogueItem:
    """The item as it will be stored.

    Raises:
        InvalidInput: an id, path or value that cannot be stored; LimitExceeded, TextMalformed where that says more.
    """
    _check_id(sent.id)
    if sent.picture is None and not sent.image_path:
        raise InvalidInput("An item needs a picture: `image`, or `image_path` where the server has it.", field="image")
    if sent.image_path:
        check_path(sent.image_path)
    _check_text("title", sent.title, TITLE_BYTES)
    _check_text("group", sent.group, GROUP_BYTES)
    return CatalogueItem(
        id=sent.id,
        image=Path(sent.image_path),
        image_path=sent.image_path,
        title=sent.title,
        group=sent.group,
        fields=_typed(sent.fields or {}, fields),
    )


def check_path(path: str) -> None:
    """Lets through what names a file below a folder in one way only.

    Raises:
        InvalidInput, LimitExceeded, TextMalformed: it is absolute, leads upwards or to a hidden file, or is too long.
    """
    _check_text("image_path", path, IMAGE_PATH_BYTES)
    if "\\" in path or any(not name or name.startswith(".") for name in path.split("/")) or _invisible(path):
        raise InvalidInput(
            "`image_path` is relative, with single / between its names, none of which starts with a dot.",
            field="image_path",
        )


def _check_id(item_id: str) -> None:
    if not can_be_id(item_id):
        raise InvalidInput(f"An id has 1 to {ID_BYTES} bytes of UTF-8.", field="id", maximum=ID_BYTES)
    if _invisible(item_id) or _REPLACEMENT in item_id:
        raise InvalidInput("An id has no control characters and nothing else that cannot be seen.", field="id")
    if not {".", ".."}.isdisjoint(item_id.split("/")):
        # Browsers, proxies and HTTP clients resolve these before they send an address.
        raise InvalidInput("An id cannot have `.` or `..` between slashes: no address could name it.", field="id")


def _invisible(text: str) -> bool:
    return any(unicodedata.category(character) in _INVISIBLE for character in text)


def _check_text(name: str, text: str, max_bytes: int) -> None:
    length = _length(name, text)
    if length > max_bytes:
        raise LimitExceeded(
            f"`{name}` has {length} bytes of UTF-8; {max_bytes} can be stored.", field=name, maximum=max_bytes
        )


def _length(name: str, text: str) -> int:
    if "\0" in text:
        raise TextMalformed(f"`{name}` contains a NUL character.", field=name)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise TextMalformed(f"`{name}` holds half a surrogate pair, which is no Unicode.", field=name) from None


def _typed(sent: Mapping[str, FieldValue | None], specs: Sequence[FieldSpec]) -> dict[str, FieldValue]:
    """The values as a reader will get them back; every wrong one is told, not only the first."""
    known = {spec.name: spec for spec in specs}
    values: dict[str, FieldValue] = {}
    wrong: list[dict[str, str]] = []
    for name, value in sent.items():
        spec = known.get(name)
        if spec is None:
            wrong.append(_finding(name, "The collection has no such field", "field_unknown"))
        elif value is not None:
            try:
                typed = _value(spec, value)
            except InvalidInput as error:
                wrong.append(_finding(name, error.message, "field_type"))
            else:
                if typed != ABSENT[spec.type]:
                    values[name] = typed
    if wrong:
        first = wrong[0]
        message = f"{first['path']}: {first['message'].rstrip('.')}."
        raise InvalidInput(message, errors=wrong[:_MOST_ERRORS_TOLD], known=sorted(known))
    return values


def _finding(name: str, message: str, kind: str) -> dict[str, str]:
    return {"path": f"fields.{name[:100]}", "message": message, "type": kind}


def _value(spec: FieldSpec, value: FieldValue) -> FieldValue:
    match spec.type:
        case FieldType.TEXT if isinstance(value, str):
            _check_text(spec.name, value, spec.max_bytes)
            return value
        case FieldType.FLAG if isinstance(value, bool):
            return value
        case FieldType.INTEGER if _is_whole(value):
            least, most = INTEGER_RANGE
            if least <= value <= most:
                return int(value)
            raise InvalidInput(f"An integer from {least} to {most} is expected.")
        case FieldType.NUMBER if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number) and number != ABSENT[FieldType.NUMBER]:
                return number + 0.0  # as it is stored: without the sign of zero
            raise InvalidInput("A finite number of double precision is expected.")
    raise InvalidInput(f"A value of type {spec.type.value} is expected.")


def _is_whole(value: FieldValue) -> TypeGuard[int | float]:
    """JSON has one kind of number: 20.0 is an integer."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
