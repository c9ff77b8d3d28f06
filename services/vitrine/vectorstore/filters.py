"""Filters as expressions of Milvus: the one place where they are written."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from vitrine.domain import FieldSpec, FieldType, FieldValue
from vitrine.errors import FilterInvalid
from vitrine.vectorstore.collection import GROUP, GROUP_BYTES, ID, ID_BYTES, TITLE, TITLE_BYTES
from vitrine.vectorstore.columns import ABSENT, INTEGER_RANGE
from vitrine.vectorstore.filter_tree import (
    COMPARISONS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_VALUE_BYTES,
    MAX_VALUES,
    All,
    AnyOf,
    Bare,
    Comparison,
    Eq,
    Exists,
    FilterTree,
    FilterValue,
    Ge,
    Gt,
    In,
    Le,
    Lt,
    Ne,
    Not,
    Prefix,
    parse_filter,
    within,
)

__all__ = [
    "COMPARISONS",
    "All",
    "AnyOf",
    "Comparison",
    "Eq",
    "Exists",
    "FilterTree",
    "Ge",
    "Gt",
    "In",
    "Le",
    "Lt",
    "Ne",
    "Not",
    "Prefix",
    "any_id_of",
    "any_of",
    "both",
    "compile_filter",
    "excluding_ids",
    "none_of",
    "parse_filter",
    "quote",
]

_SYMBOLS: Mapping[type[Comparison], str] = {Eq: "==", Ne: "!=", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}
_OWN_LEVELS, _OWN_NODES, _OWN_VALUES = 1, 3, 64  # what `excluding_ids` may add to a client's tree that just fits
_ORDERED = (Lt, Le, Gt, Ge)
# All that a literal cannot hold as it is, spelled in the one way that every server reads.
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r"})
_RESERVED = {
    "id": (ID, FieldSpec("id", FieldType.TEXT, ID_BYTES)),
    "title": (TITLE, FieldSpec("title", FieldType.TEXT, TITLE_BYTES)),
    "group": (GROUP, FieldSpec("group", FieldType.TEXT, GROUP_BYTES)),
}


def compile_filter(tree: FilterTree, fields: Sequence[FieldSpec], group_name: str = "") -> str:
    """The expression Milvus takes. Every value of the tree ends up as a quoted literal or a number.

    Args:
        tree: what items must satisfy.
        fields: of the collection.
        group_name: another name of `group`, the catalogue's own, unless a field has it.

    Raises:
        FilterInvalid: an unknown or unfilterable field, a value of another type, or more than the limits allow.
    """
    return _Compiler(fields, group_name).compile(tree)


def excluding_ids(tree: FilterTree | None, ids: Sequence[str]) -> FilterTree:
    """`tree` (None: every item) without the items of these ids, of which there is at least one."""
    others = Not(In("id", tuple(ids)))
    if tree is None:
        return others
    return All((*tree.clauses, others)) if isinstance(tree, All) else All((tree, others))


def quote(text: str) -> str:
    """A string literal of Milvus's expressions that means exactly `text`.

    Raises:
        FilterInvalid: a lone surrogate, which no stored text contains.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FilterInvalid("A filter's text must be well-formed Unicode.") from None
    return f'"{text.translate(_ESCAPES)}"'


def any_id_of(ids: Iterable[str]) -> str:
    """The expression that holds for the items of these ids."""
    return any_of(ID, ids)


def any_of(column: str, values: Iterable[FieldValue]) -> str:
    """The expression that holds for items with one of the values, as they are stored, in a column."""
    return f"{column} in [{', '.join(map(_literal, values))}]"


def none_of(column: str, values: Iterable[FieldValue]) -> str:
    """The expression that holds for the others; there is at least one value."""
    return f"(not ({any_of(column, values)}))"


def both(one: str, other: str) -> str:
    """The expression that holds where two do; an empty one holds everywhere."""
    return f"({one}) and ({other})" if one and other else one or other


class _Compiler:
    """One walk over one tree, counting as it goes."""

    def __init__(self, fields: Sequence[FieldSpec], group_name: str) -> None:
        declared = {field.name: (field.name, field) for field in fields if field.filterable}
        self._columns = ({group_name: _RESERVED["group"]} if group_name else {}) | declared | _RESERVED
        self._nodes = 0
        self._values = 0

    def compile(self, tree: FilterTree, depth: int = 1) -> str:
        self._nodes += 1
        within(depth, MAX_DEPTH, "levels", spare=_OWN_LEVELS)
        within(self._nodes, MAX_NODES, "conditions", spare=_OWN_NODES)
        match tree:
            case All(clauses):
                return self._joined(" and ", "all", clauses, depth)
            case AnyOf(clauses):
                return self._joined(" or ", "any", clauses, depth)
            case Not(clause):
                return f"(not {self.compile(clause, depth + 1)})"
            case In(name, values):
                return self._in(name, values)
            case Exists(name):
                column, field = self._column(name)
                return f"({column} != {_literal(ABSENT[field.type])})"
            case Prefix(name, value):
                return self._prefix(name, value)
            case Eq() | Ne() | Lt() | Le() | Gt() | Ge():
                return self._comparison(tree)

    def _joined(self, operator: str, name: str, clauses: tuple[FilterTree, ...], depth: int) -> str:
        if not clauses:
            raise FilterInvalid(f"`{name}` needs at least one condition.")
        return _balanced(operator, [self.compile(clause, depth + 1) for clause in clauses])

    def _comparison(self, node: Comparison) -> str:
        column, field = self._column(node.field)
        if isinstance(node, _ORDERED) and field.type is FieldType.FLAG:
            raise FilterInvalid(f"Field {node.field!r} is true or false: it has no order.", field=node.field)
        expression = f"{column} {_SYMBOLS[type(node)]} {self._value(field, node.value)}"
        if isinstance(node, Ne | Lt | Le):
            # What stands for "no value" is the least of its type, and differs from every value.
            return f"({expression} and {column} != {_literal(ABSENT[field.type])})"
        return f"({expression})"

    def _in(self, name: str, values: tuple[FilterValue, ...]) -> str:
        column, field = self._column(name)
        if not values:
            raise FilterInvalid(f"`in` of field {name!r} needs at least one value.", field=name)
        return f"({column} in [{', '.join(self._value(field, value) for value in values)}])"

    def _prefix(self, name: str, value: str) -> str:
        column, field = self._column(name)
        if field.type is not FieldType.TEXT:
            raise FilterInvalid(f"`prefix` needs a text field; {name!r} is {field.type.value}.", field=name)
        # A range instead of `like`: its wildcards cannot be escaped on every server.
        lower, after = self._value(field, value), _first_after(value)
        return f"({column} >= {lower})" if after is None else f"({column} >= {lower} and {column} < {quote(after)})"

    def _column(self, name: str) -> tuple[str, FieldSpec]:
        found = self._columns.get(name)
        if found is None:
            known = sorted(self._columns)
            raise FilterInvalid(
                f"There is no field {name!r:.120} to filter by; there are {', '.join(known)}.", field=name, known=known
            )
        return found

    def _value(self, field: FieldSpec, value: FilterValue) -> str:
        self._values += 1
        within(self._values, MAX_VALUES, "values", spare=_OWN_VALUES)
        if isinstance(value, Bare):
            value = value.read_as(field.type)
        checked = _CHECKS[field.type](value)
        if checked is None:
            raise FilterInvalid(
                f"Field {field.name!r} is compared with {_EXPECTED[field.type]}, not {value!r:.100}.",
                field=field.name,
                expected=field.type.value,
            )
        return _literal(checked)


def _balanced(operator: str, clauses: Sequence[str]) -> str:
    """The clauses joined, halves in parentheses.

    Milvus reads a flat chain as one nested as deep as it is long, and 2.3 refuses chains of fifty as unsupported.
    """
    if len(clauses) == 1:
        return clauses[0]
    middle = len(clauses) // 2
    return f"({_balanced(operator, clauses[:middle])}{operator}{_balanced(operator, clauses[middle:])})"


def _check_text(value: FieldValue) -> FieldValue | None:
    if not isinstance(value, str) or not value:
        return None
    quote(value)  # refuses what is no Unicode, before its bytes are counted
    return value if len(value.encode()) <= MAX_VALUE_BYTES else None


def _check_integer(value: FieldValue) -> FieldValue | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if INTEGER_RANGE[0] <= value <= INTEGER_RANGE[1] else None


def _check_number(value: FieldValue) -> FieldValue | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value) + 0.0  # as it is stored: minus zero is zero
    except OverflowError:
        return None
    return number if math.isfinite(number) and number != ABSENT[FieldType.NUMBER] else None


def _check_flag(value: FieldValue) -> FieldValue | None:
    return int(value) if isinstance(value, bool) else None


_CHECKS: Mapping[FieldType, Callable[[FieldValue], FieldValue | None]] = {
    FieldType.TEXT: _check_text,
    FieldType.INTEGER: _check_integer,
    FieldType.NUMBER: _check_number,
    FieldType.FLAG: _check_flag,
}
_EXPECTED: Mapping[FieldType, str] = {
    FieldType.TEXT: f"a text of 1 to {MAX_VALUE_BYTES} bytes",
    FieldType.INTEGER: "a whole number of 64 bits",
    FieldType.NUMBER: "a finite number",
    FieldType.FLAG: "true or false",
}


def _literal(value: FieldValue) -> str:
    if isinstance(value, str):
        return quote(value)
    return repr(value)


def _first_after(prefix: str) -> str | None:
    """The least text above every text that starts with `prefix`; None when there is none."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # over the surrogates, which are no characters
            return prefix[: end - 1] + chr(following)
    return None
