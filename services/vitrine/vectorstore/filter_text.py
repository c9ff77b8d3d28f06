"""Filters as people write them in an address: `colour:red AND price<50`.

    filter     conditions joined by AND, OR, NOT (in any case; NOT binds closest, OR least) and parentheses
    condition  field:value  field=value  field!=value  field<value  <=  >  >=
               field IN (value, value)   field:start*   EXISTS field, which is field:* too
    value      a word, which may hold all but white space and ( ) , : = ! < > * ' " \\, or a text in quotes of either
               kind, where \\ stands before a quote or another \\

A word's meaning is its field's: `5` is a text for a text field and a number for a number. A text in quotes is always a
text. Fields may stand in quotes too, which those named like a keyword must.
"""

import re
from functools import cache
from typing import Final, TypeAlias

from lark import Lark, Token, Transformer, UnexpectedCharacters, UnexpectedInput, v_args

from vitrine.domain import FieldValue
from vitrine.errors import FilterInvalid
from vitrine.vectorstore.filter_tree import (
    MAX_DEPTH,
    All,
    AnyOf,
    Bare,
    Comparison,
    Eq,
    Exists,
    FilterTree,
    Ge,
    Gt,
    In,
    Le,
    Lt,
    Ne,
    Not,
    Prefix,
    within,
)

MAX_TEXT_BYTES: Final = 4 * 1024

_GRAMMAR: Final = r"""
    start: either
    either: both (OR both)*
    both: not_or_one (AND not_or_one)*
    ?not_or_one: NOT not_or_one -> negated
        | "(" either ")"        -> enclosed
        | condition
    condition: field (COLON | EQUALS) value     -> equal
        | field COMPARES value                  -> compared
        | field (COLON | EQUALS) value STAR     -> starting
        | field (COLON | EQUALS) STAR           -> having
        | EXISTS field                          -> existing
        | field IN "(" value ("," value)* ")"   -> among
    field: NAME | QUOTED
    value: WORD | QUOTED

    // A keyword ends where a name would; over names, which match them too.
    AND.2: /and(?![A-Za-z0-9_])/i
    OR.2: /or(?![A-Za-z0-9_])/i
    NOT.2: /not(?![A-Za-z0-9_])/i
    IN.2: /in(?![A-Za-z0-9_])/i
    EXISTS.2: /exists(?![A-Za-z0-9_])/i
    COMPARES: "!=" | "<=" | ">=" | "<" | ">"
    COLON: ":"
    EQUALS: "="
    STAR: "*"
    NAME: /[A-Za-z_][A-Za-z0-9_]*/
    WORD: /[^\s()"'\\,*<>=!:]+/
    QUOTED: /"(?:[^"\\]|\\["'\\])*"/ | /'(?:[^'\\]|\\["'\\])*'/
    %ignore /[ \t\r\n]+/
"""
_WORDS: Final = {
    "NAME": "a field",
    "WORD": "a value",
    "QUOTED": "a text in quotes",
    "COLON": "`:`",
    "EQUALS": "`=`",
    "COMPARES": "a comparison",
    "STAR": "`*`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "`,`",
    "AND": "`AND`",
    "OR": "`OR`",
    "NOT": "`NOT`",
    "IN": "`IN`",
    "EXISTS": "`EXISTS`",
    "$END": "the end",
}
"""The grammar's terminals in a person's words, in the order they are told."""
_COMPARISONS: Final[dict[str, type[Comparison]]] = {"!=": Ne, "<": Lt, "<=": Le, ">": Gt, ">=": Ge}
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

_Nested: TypeAlias = tuple[FilterTree, int]
"""A tree and its levels, counted as it grows: no walk over a tree of unknown depth is ever made."""


def parse_filter_text(text: str) -> FilterTree:
    """The tree that a text describes. Whether its fields exist and its values fit, `compile_filter` finds out.

    Raises:
        FilterInvalid: longer than `MAX_TEXT_BYTES`, nested too deep, or another grammar; `position` counts characters
            from 1, `expected` says what may stand there.
    """
    if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise FilterInvalid(f"A filter in text form has {MAX_TEXT_BYTES} bytes at most.", maximum=MAX_TEXT_BYTES)
    try:
        # The tree grows while the text is read, from a stack of the parser's own: parentheses cost no recursion.
        tree: FilterTree = _parser().parse(text)  # type: ignore[assignment]  # what `_Growing.start` returns
    except UnexpectedInput as error:
        raise _told(error, text) from None
    return tree


@cache
def _parser() -> Lark:
    """Built once, and not before the first filter comes as a text: 20 ms."""
    return Lark(_GRAMMAR, parser="lalr", lexer="contextual", transformer=_Growing(), maybe_placeholders=False)


def _told(error: UnexpectedInput, text: str) -> FilterInvalid:
    if isinstance(error, UnexpectedCharacters):
        at, allowed = error.pos_in_stream, error.allowed or set()
    else:
        token = getattr(error, "token", None)
        at = len(text) if token is None or token.type == "$END" else token.start_pos
        allowed = getattr(error, "accepts", None) or getattr(error, "expected", None) or set()
    expected = [words for terminal, words in _WORDS.items() if terminal in allowed]
    position = (len(text) if at is None else at) + 1
    where = "at its end" if position > len(text) else f"at character {position}"
    told = f"; expected {', '.join(expected)}" if expected else ""
    return FilterInvalid(f"The filter cannot be read {where}{told}.", position=position, expected=expected)


@v_args(inline=True)
class _Growing(Transformer[Token, FilterTree]):
    """Called for each rule as soon as it is complete."""

    def start(self, whole: _Nested) -> FilterTree:
        return whole[0]

    def either(self, first: _Nested, *others: Token | _Nested) -> _Nested:
        return _joined(AnyOf, first, others)

    def both(self, first: _Nested, *others: Token | _Nested) -> _Nested:
        return _joined(All, first, others)

    def negated(self, _: Token, clause: _Nested) -> _Nested:
        return Not(clause[0]), _one_above(clause)

    def enclosed(self, clause: _Nested) -> _Nested:
        return clause

    def equal(self, field: str, _: Token, value: FieldValue | Bare) -> _Nested:
        return Eq(field, value), 1

    def compared(self, field: str, symbol: Token, value: FieldValue | Bare) -> _Nested:
        return _COMPARISONS[str(symbol)](field, value), 1

    def starting(self, field: str, _: Token, value: str | Bare, __: Token) -> _Nested:
        return Prefix(field, value.text if isinstance(value, Bare) else value), 1

    def having(self, field: str, _: Token, __: Token) -> _Nested:
        return Exists(field), 1

    def existing(self, _: Token, field: str) -> _Nested:
        return Exists(field), 1

    def among(self, field: str, _: Token, *values: FieldValue | Bare) -> _Nested:
        return In(field, values), 1

    def field(self, name: Token) -> str:
        return str(name) if name.type == "NAME" else _unquoted(name)

    def value(self, written: Token) -> FieldValue | Bare:
        return Bare(str(written)) if written.type == "WORD" else _unquoted(written)


def _joined(kind: type[All] | type[AnyOf], first: _Nested, others: tuple[Token | _Nested, ...]) -> _Nested:
    clauses = (first, *(other for other in others if isinstance(other, tuple)))
    if len(clauses) == 1:
        return first
    return kind(tuple(tree for tree, _ in clauses)), max(map(_one_above, clauses))


def _one_above(clause: _Nested) -> int:
    levels = clause[1] + 1
    within(levels, MAX_DEPTH, "levels")
    return levels


def _unquoted(token: Token) -> str:
    return _ESCAPED.sub(r"\1", token[1:-1])
