"""What a catalogue's fields hold, gathered row by row: whether a mapping fits is seen from this."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from vitrine.domain import CatalogueItem, FieldSpec, FieldType, FieldValue
from vitrine.indexer.catalogue import MAX_GROUP_BYTES, Catalogue
from vitrine.indexer.checking.distinct import DistinctCount

MAX_TITLE_BYTES = 512  # the collection's title; longer ones are cut
_EXAMPLES = 3
_MUCH = 200  # products after which a share means something


@dataclass(slots=True)
class FieldProfile:
    """One field over all rows that could be read.

    Args:
        spec: what the mapping declares.
        column: where it comes from.
        filled: rows that have a value.
        cut: texts that are longer than the field; they will be cut when stored.
        examples: the first different values; of numbers, see `least` and `most`.
    """

    spec: FieldSpec
    column: str
    filled: int = 0
    cut: int = 0
    distinct: DistinctCount = field(default_factory=DistinctCount)
    examples: list[FieldValue] = field(default_factory=list)
    least: float | None = None
    most: float | None = None

    def add(self, value: FieldValue | None) -> None:
        """Counts one row's value; None and the empty text are none."""
        if value is None or value == "":
            return
        self.filled += 1
        self.distinct.add(value)
        if len(self.examples) < _EXAMPLES and value not in self.examples:
            self.examples.append(value)
        if isinstance(value, str):
            self.cut += len(value.encode()) > self.spec.max_bytes
        elif self.spec.type in (FieldType.INTEGER, FieldType.NUMBER):
            self.least = value if self.least is None else min(self.least, value)
            self.most = value if self.most is None else max(self.most, value)


class CatalogueProfile:
    """Profiles of the title, the group and every field.

    Args:
        catalogue: opened; not read yet.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        mapping = catalogue.mapping
        self.rows = 0
        self._absent = [rule.name for rule in mapping.fields if rule.spec not in catalogue.fields]
        self._title = FieldProfile(FieldSpec("title", FieldType.TEXT, MAX_TITLE_BYTES), mapping.title.column)
        self._group = None
        if mapping.group is not None:
            self._group = FieldProfile(FieldSpec("group", FieldType.TEXT, MAX_GROUP_BYTES), mapping.group.column)
        sources = {rule.name: rule.source for rule in mapping.fields}
        self._fields = [FieldProfile(spec, sources[spec.name]) for spec in catalogue.fields]

    def add(self, item: CatalogueItem) -> None:
        """Counts one row."""
        self.rows += 1
        self._title.add(item.title)
        if self._group is not None:
            self._group.add(item.group)
        for profile in self._fields:
            profile.add(item.fields.get(profile.spec.name))

    @property
    def fields(self) -> list[FieldProfile]:
        """Title, group if there is one, then the mapping's fields in their order."""
        return [self._title, *([] if self._group is None else [self._group]), *self._fields]

    def notes(self) -> Iterator[str]:
        """What looks as if the mapping did not fit."""
        if self._absent:
            yield f"Optional, and not in the file: {', '.join(self._absent)}. The collection will have no such field."
        for profile in self.fields if self.rows else ():
            name = profile.spec.name
            if not profile.filled:
                yield f"{name} is empty in every row; is column {profile.column} the right one?"
            if profile.cut:
                yield f"{name}: {profile.cut} texts are longer than {profile.spec.max_bytes} bytes and will be cut."
            different = profile.distinct.count
            if profile.spec.facetable and profile.filled > _MUCH and different > profile.filled // 2:
                yield f"{name}: about every second product has a value of its own; that is no facet."
