"""Grouping: of hits that share a value only the best is given."""

from dataclasses import dataclass
from typing import Final

from vitrine.domain import FieldSpec, FieldType, FieldValue
from vitrine.errors import InvalidInput
from vitrine.vectorstore.collection import GROUP, CollectionInfo
from vitrine.vectorstore.columns import loaded

MAX_ROUNDS: Final = 6
"""Searches of one grouped page. Each leaves out the groups found before, so two are usual and six find thousands."""

GROUP_NAME: Final = "group"
"""What the API calls the column that every collection has."""

_TYPES: Final = (FieldType.TEXT, FieldType.INTEGER)
_ROWS_PER_GROUP: Final = 3  # H&M has 2.2 articles a design, and like articles are neighbours
_LEAST_ROWS: Final = 64


@dataclass(frozen=True, slots=True)
class Grouping:
    """What makes a group.

    Milvus 2.3 has no grouping: it passes over a `group_by_field` without a word. So groups are made here, the same way
    on every server.

    Args:
        column: Milvus's.
        field: its declaration; None for the column of groups.
    """

    column: str
    field: FieldSpec | None

    def value(self, stored: FieldValue) -> FieldValue | None:
        """The group of a row; None when it stands for itself."""
        return (stored or None) if self.field is None else loaded(self.field, stored)

    def first_rows(self, before: int, wanted: int) -> int:
        """Neighbours that probably hold so many new groups beyond the first `before`."""
        return before + _ROWS_PER_GROUP * wanted

    def next_rows(self, done: int, lacking: int, alone: int) -> int:
        """The same for the round after `done`, whose rows can be of new groups or, again, the ones that stand `alone`.

        Grows quickly: where the groups found so far did not fill a page, groups are large.
        """
        return alone + max(_LEAST_ROWS, _ROWS_PER_GROUP * lacking) << 2 * done


def grouping_of(name: str, collection: CollectionInfo) -> Grouping:
    """What `group_by` names: `group`, the catalogue's own name for it, or a declared field.

    Raises:
        InvalidInput: none of these; `known` has them.
    """
    fields = {field.name: field for field in collection.fields if field.filterable and field.type in _TYPES}
    if name in fields:
        return Grouping(name, fields[name])
    if name == GROUP_NAME or (name and name == collection.group_name):
        return Grouping(GROUP, None)
    own = [collection.group_name] if collection.group_name else []
    known = sorted({GROUP_NAME, *own, *fields})
    raise InvalidInput(
        f"Hits cannot be grouped by {name!r:.120}; they can be by {', '.join(known)}.", field="group_by", known=known
    )
