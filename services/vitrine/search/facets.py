"""Values of fields, counted over the best hits of a search."""

from collections import Counter
from collections.abc import Sequence

from vitrine.domain import FieldSpec, FieldValue
from vitrine.errors import InvalidInput, LimitExceeded
from vitrine.search.request import Facet, FacetCount
from vitrine.vectorstore.columns import loaded
from vitrine.vectorstore.neighbours import Neighbours


def facet_fields(names: Sequence[str], fields: Sequence[FieldSpec], most: int) -> tuple[FieldSpec, ...]:
    """The fields of these names, each once.

    Raises:
        InvalidInput: a field that cannot be counted; `known` has those that can.
        LimitExceeded: more than `most`.
    """
    if not names:
        return ()
    known = {field.name: field for field in fields if field.facetable}
    unique = tuple(dict.fromkeys(names))
    for name in unique:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise InvalidInput(
                f"Field {name!r:.120} has no facets; those that have: {there}.", field="facets", known=sorted(known)
            )
    if len(unique) > most:
        raise LimitExceeded(f"A search has {most} facets at most.", field="facets", maximum=most)
    return tuple(known[name] for name in unique)


def count_facets(found: Neighbours, counted: int, fields: Sequence[FieldSpec], most_values: int) -> tuple[Facet, ...]:
    """Facets of the first `counted` rows. Equally frequent values are in the order of the values themselves."""
    return tuple(_facet(field, found.stored(field.name)[:counted], most_values) for field in fields)


def _facet(field: FieldSpec, stored: Sequence[FieldValue], most_values: int) -> Facet:
    counts = Counter(stored)
    missing = 0
    there: list[tuple[FieldValue, int]] = []
    for kept, count in counts.items():
        value = loaded(field, kept)
        if value is None:
            missing = count
        else:
            there.append((value, count))
    there.sort(key=lambda pair: (-pair[1], pair[0]))
    listed = there[:most_values]
    return Facet(
        field.name,
        tuple(FacetCount(value, count) for value, count in listed),
        missing=missing,
        others=sum(count for _, count in there[most_values:]),
    )
