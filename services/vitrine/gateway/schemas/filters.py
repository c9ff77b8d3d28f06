"""How a filter is documented. It is read by `vectorstore.filter_tree` and `vectorstore.filter_text`, not by models:
those know the limits, and say which condition is wrong.
"""

from typing import Any, Final

from pydantic import WithJsonSchema

from vitrine.vectorstore.filter_text import MAX_TEXT_BYTES
from vitrine.vectorstore.filter_tree import COMPARISONS, MAX_NODES, MAX_VALUE_BYTES, MAX_VALUES

FILTER: Final = "Filter"
_SELF: Final = {"$ref": f"#/components/schemas/{FILTER}"}
_FIELD: Final = {"type": "string", "description": "A filterable field of the collection, or `id`, `title`, `group`."}
_TEXT: Final = {"type": "string", "minLength": 1, "maxLength": MAX_VALUE_BYTES}
_VALUE: Final = {"anyOf": [_TEXT, {"type": "number"}, {"type": "boolean"}]}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def _condition(operators: list[str], **value: Any) -> dict[str, Any]:
    return _object(field=_FIELD, op={"type": "string", "enum": operators}, **value)


FILTER_SCHEMA: Final[dict[str, Any]] = {
    "title": FILTER,
    "description": "A condition on a field, or `all`, `any`, `not` over further filters.",
    "oneOf": [
        _object(all={"type": "array", "minItems": 1, "maxItems": MAX_NODES - 1, "items": _SELF}),
        _object(any={"type": "array", "minItems": 1, "maxItems": MAX_NODES - 1, "items": _SELF}),
        _object(**{"not": _SELF}),
        _condition([*COMPARISONS], value=_VALUE),
        _condition(["in"], value={"type": "array", "minItems": 1, "maxItems": MAX_VALUES, "items": _VALUE}),
        _condition(["prefix"], value=_TEXT),
        _condition(["exists"]),
    ],
    "examples": [
        {
            "all": [
                {"field": "colour_group_name", "op": "eq", "value": "Red"},
                {"not": {"field": "price", "op": "ge", "value": 50}},
            ]
        }
    ],
}
"""The component `Filter`; it contains itself, which no model could say without being one."""

TEXT_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_TEXT_BYTES,
    "description": "The same as text: `field:value`, `=`, `!=`, `<`, `<=`, `>`, `>=`, `field IN (a, b)`, "
    "`field:start*`, `EXISTS field`, joined by `AND`, `OR`, `NOT` and parentheses. Values with blanks stand in quotes.",
    "examples": ["colour_group_name:Red AND price<50"],
}
FILTER_IN_JSON: Final = WithJsonSchema({"anyOf": [_SELF, TEXT_SCHEMA, {"type": "null"}]})
