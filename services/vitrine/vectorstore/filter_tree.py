"""The typed filter tree: what a search may be narrowed by, before any vendor's language comes in.

A comparison with a value that an item does not have is false, whatever the operator, `ne` included; `not` of it is
true. Texts compare by their UTF-8 bytes; an empty text counts as no value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vitrine.domain import FieldType, FieldValue
from vitrine.errors import FilterInvalid

MAX_DEPTH = 8
MAX_NODES = 100
MAX_VALUES = 1_000
MAX_VALUE_BYTES = 1_024

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Bare:
    """A value written without quotes: whether `5` is a text or a number, the type of its field decides."""

    text: str

    def read_as(self, kind: FieldType) -> FieldValue:
        """The value for a field of that type; the text, which fits none but a text field, where it cannot be one."""
        if kind is FieldType.INTEGER and _WHOLE.fullmatch(self.text):
            return int(self.text)
        if kind is FieldType.NUMBER and _NUMBER.fullmatch(self.text):
            return float(self.text)
        if kind is FieldType.FLAG and self.text.lower() in ("true", "false"):
            return self.text.lower() == "true"
        return self.text


FilterValue: TypeAlias = FieldValue | Bare


@dataclass(frozen=True, slots=True)
class All:
    """Every clause holds."""

    clauses: tuple["FilterTree", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one clause holds."""

    clauses: tuple["FilterTree", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The clause does not hold."""

    clause: "FilterTree"


@dataclass(frozen=True, slots=True)
class Eq:
    """Equal. `field` is a declared field or one of `id`, `title`, `group`; so everywhere below."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Ne:
    """Has a value, and another one."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Lt:
    """Less than."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Le:
    """Less or equal."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Gt:
    """Greater than."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class Ge:
    """Greater or equal."""

    field: str
    value: FilterValue


@dataclass(frozen=True, slots=True)
class In:
    """Equal to one of the values."""

    field: str
    values: tuple[FilterValue, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """Has a value."""

    field: str


@dataclass(frozen=True, slots=True)
class Prefix:
    """A text that starts with `value`."""

    field: str
    value: str


Comparison: TypeAlias = Eq | Ne | Lt | Le | Gt | Ge
FilterTree: TypeAlias = All | AnyOf | Not | Comparison | In | Exists | Prefix

COMPARISONS: Mapping[str, type[Comparison]] = {"eq": Eq, "ne": Ne, "lt": Lt, "le": Le, "gt": Gt, "ge": Ge}
"""The API's names of the operators that take one value. `in`, `exists` and `prefix` are the others."""


def parse_filter(data: object) -> FilterTree:
    """The tree that JSON describes.

    `{"all": [...]}`, `{"any": [...]}`, `{"not": {...}}` or `{"field": "price", "op": "lt", "value": 50}`; `op` is one
    of `COMPARISONS`, or `in` (its value is a list), `exists` (no value), `prefix`.

    Raises:
        FilterInvalid: another shape, or nested too deep.
    """
    return _parse(data, depth=1)


def within(count: int, most: int, what: str, *, spare: int = 0) -> None:
    """Refuses more than `most` of something; `spare` more are let through for what the product itself adds.

    Raises:
        FilterInvalid: naming the limit.
    """
    if count > most + spare:
        raise FilterInvalid(f"A filter has at most {most} {what}.", maximum=most, counted=what)


def _parse(data: object, depth: int) -> FilterTree:
    within(depth, MAX_DEPTH, "levels")
    if not isinstance(data, Mapping):
        raise FilterInvalid("A filter is an object with `all`, `any`, `not`, or `field` and `op`.")
    keys = set(data)
    if keys in ({"all"}, {"any"}):
        clauses = data["all"] if "all" in keys else data["any"]
        if not isinstance(clauses, list | tuple):
            raise FilterInvalid("`all` and `any` take a list of filters.")
        within(len(clauses), MAX_NODES, "conditions")
        parsed = tuple(_parse(clause, depth + 1) for clause in clauses)
        return All(parsed) if "all" in keys else AnyOf(parsed)
    if keys == {"not"}:
        return Not(_parse(data["not"], depth + 1))
    return _parse_condition(data)


def _parse_condition(data: Mapping[str, object]) -> FilterTree:
    field, operator, value = data.get("field"), data.get("op"), data.get("value")
    expected = {"field", "op"} if operator == "exists" else {"field", "op", "value"}
    if set(data) != expected or not isinstance(field, str) or not isinstance(operator, str):
        raise FilterInvalid("A condition has `field`, `op` and, unless it is `exists`, `value`.")
    if operator == "exists":
        return Exists(field)
    if operator == "in" and isinstance(value, list | tuple):
        within(len(value), MAX_VALUES, "values")
        return In(field, tuple(_plain(item, field) for item in value))
    if operator == "prefix" and isinstance(value, str):
        return Prefix(field, value)
    if operator in COMPARISONS:
        return COMPARISONS[operator](field, _plain(value, field))
    known = ", ".join((*COMPARISONS, "in", "exists", "prefix"))
    raise FilterInvalid(f"`op` {operator!r:.50} does not fit its value; operators are {known}.", field=field)


def _plain(value: object, field: str) -> FieldValue:
    if not isinstance(value, str | int | float):
        raise FilterInvalid(f"Field {field!r:.120} is compared with a text, a number, true or false.", field=field)
    return value
