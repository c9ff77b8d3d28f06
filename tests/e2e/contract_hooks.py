"""Hooks of the contract test: what no schema can say about a request, because it depends on the shop.

A document can say that a facet is a text; that this collection has a field of that name, it cannot. Requests that are
meant to be valid therefore get names, pictures and filters that exist here, so that "valid data is accepted" can be
asked of every operation. Requests that are meant to be invalid stay as they were generated.

Deadlines are raised to seconds in all of them: asked for a millisecond, the right answer is 504.
"""

import base64
import io
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote

import schemathesis
from PIL import Image
from schemathesis.generation import GenerationMode

ENOUGH_MS = 8_000
DEADLINES = {"timeout_ms", "X-Timeout-Ms"}
FILTER = {"field": "colour_group_name", "op": "eq", "value": "Red"}
FILTER_TEXT = "colour_group_name:Red"
PRODUCT = "0108775007"


def _picture() -> str:
    """A picture all of whose bytes are ASCII, so that it is a text as well, which is what a schema calls a file."""
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), (96, 32, 16)).save(stream, "BMP", dpi=(1, 1))
    return stream.getvalue().decode("ascii")


PICTURE = _picture()
PICTURE_URL = "data:image/bmp;base64," + base64.b64encode(PICTURE.encode()).decode()

# What takes the place of a valid value, by the member's name; None: the member is left out.
HERE: dict[str, Any] = {
    "cursor": None,
    "dimensions": None,
    "image_path": "images/any.jpg",
    "params": {"ef": 32_768},
    "group_by": "group",
    "facets": ["colour_group_name"],
    "fields": {},
    "model": "default",
    "image": PICTURE_URL,
    "filter": FILTER,
}
HERE_AS_TEXT = HERE | {
    "params": "ef:32768",
    "facets": "colour_group_name",
    "filter": FILTER_TEXT,
    "fields": "{}",
    "query": '[{"text": "red", "weight": 0.5}]',
    "image": PICTURE,
}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    for container in (case.headers, case.query, case.body):
        if isinstance(container, MutableMapping):
            _raise_deadlines(container)
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if isinstance(case.path_parameters, dict) and "item_id" in case.path_parameters:
        case.path_parameters["item_id"] = _plain_id(case.path_parameters["item_id"])
    if isinstance(case.query, dict):
        _settle(case.query, HERE_AS_TEXT)
        if "id" in case.query:
            case.query["id"] = PRODUCT
        elif case.operation.definition.raw.get("operationId") == "search_by_address":
            # One of the two must be there, which OpenAPI cannot say of parameters.
            case.query.setdefault("q", "red dress")
    if isinstance(case.body, dict):
        _settle(case.body, HERE_AS_TEXT if case.media_type == "multipart/form-data" else HERE)


def _raise_deadlines(node: Any) -> None:
    if isinstance(node, list):
        for child in node:
            _raise_deadlines(child)
    elif isinstance(node, MutableMapping):
        for name, value in list(node.items()):
            if name in DEADLINES:
                node[name] = _enough(value)
            else:
                _raise_deadlines(value)


def _enough(value: Any) -> Any:
    try:
        short = not isinstance(value, bool) and 0 < int(value) < ENOUGH_MS
    except (TypeError, ValueError, OverflowError):
        return value
    return type(value)(ENOUGH_MS) if short else value


def _settle(node: Any, here: dict[str, Any]) -> None:
    """Gives the members of a valid request the values that this shop knows. Absent ones stay absent."""
    if isinstance(node, list):
        for child in node:
            _settle(child, here)
    if not isinstance(node, dict):
        return
    if "group_by" in node and str(node.get("offset", 0)) != "0":
        del node["group_by"]  # groups reach less deep than hits do
    if "image_path" in node:
        node["image"] = here["image"]
    for name, value in list(node.items()):
        if name not in here or value is None:
            node[name] = _settled(name, value, here)
        elif here[name] is None:
            del node[name]
        else:
            node[name] = here[name]


def _settled(name: str, value: Any, here: dict[str, Any]) -> Any:
    """The value of a member that this shop knows nothing special of."""
    if name == "query" and isinstance(value, list):
        for part in value:
            _settle_part(part)
    elif name in TEXTS:
        return TEXTS[name](value)
    else:
        _settle(value, here)
    return value


def _settle_part(part: Any) -> None:
    if not isinstance(part, dict):
        return
    if "id" in part:
        part["id"] = PRODUCT
    if "image" in part:
        part["image"] = PICTURE_URL
    if "text" in part:
        part["text"] = _visible(part["text"])
    # Parts that cancel out have no direction: a schema cannot forbid that either.
    part.pop("weight", None)


def _settle_input(value: Any) -> Any:
    if isinstance(value, list):
        return [_settle_input(child) for child in value]
    if isinstance(value, str) and value.startswith("data:"):
        return PICTURE_URL
    return _visible(value)


def _plain_id(value: Any) -> Any:
    """An id of letters that can be seen: more can be asked for than can be stored."""
    if not isinstance(value, str):
        return value
    text = unquote(value)  # the part of a path comes as it is written there
    plain = text.isascii() and text.isprintable() and text.strip("./")
    return value if plain else "contract-" + text.encode("utf-8", "replace").hex()[:64]


def _visible(text: Any) -> Any:
    """A text without anything to see is refused; which characters can be seen, no pattern says."""
    return "red dress" if isinstance(text, str) and not any(letter.isalnum() for letter in text) else text


TEXTS = {"input": _settle_input, "id": _plain_id, "q": _visible, "query": _visible}
"""Members that are, or hold, texts of their own kind."""
