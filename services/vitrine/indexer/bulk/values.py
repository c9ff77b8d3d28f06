"""Checks of one batch of rows, column by column, without a loop over values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vitrine.domain import FieldSpec, FieldType
from vitrine.vectorstore.collection import (
    EMBEDDING,
    GROUP,
    GROUP_BYTES,
    ID,
    ID_BYTES,
    IMAGE_PATH,
    IMAGE_PATH_BYTES,
    TITLE,
    TITLE_BYTES,
)
from vitrine.vectorstore.columns import ABSENT, INTEGER_RANGE, UNIT_TOLERANCE

_Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows of one batch with the same thing wrong in one column.

    Args:
        first: position of the first of them in the batch, counted from 0.
        count: how many there are.
    """

    code: str
    column: str
    message: str
    first: int
    count: int


def check_batch(
    batch: pa.RecordBatch, fields: Sequence[FieldSpec], dimension: int, sound: set[str]
) -> Iterator[Finding]:
    """Compares every value with what the collection can hold.

    Args:
        batch: any rows.
        fields: of the catalogue.
        dimension: of the vectors.
        sound: columns that are there and of the right type; the others are not looked at.
    """
    widths = {ID: ID_BYTES, TITLE: TITLE_BYTES, GROUP: GROUP_BYTES, IMAGE_PATH: IMAGE_PATH_BYTES}
    widths |= {field.name: field.max_bytes for field in fields if field.type is FieldType.TEXT}
    for name in [name for name in batch.schema.names if name in sound]:
        column = batch.column(name)
        if column.null_count:
            yield from _found(
                "null_value",
                name,
                "null; absent values are written as the type's sentinel",
                column.is_null().to_numpy(zero_copy_only=False),
            )
        elif name == EMBEDDING:
            yield from _check_vectors(column, dimension)
        elif name in widths:
            yield from _check_text(name, column, widths[name])
        else:
            yield from _check_numbers(next(field for field in fields if field.name == name), column)


def _check_text(name: str, column: pa.Array, most: int) -> Iterator[Finding]:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        yield from _found("text_not_utf8", name, "bytes that are no UTF-8", _not_utf8(column))
        return
    lengths = pc.binary_length(column).to_numpy(zero_copy_only=False)
    yield from _found("text_too_wide", name, f"more than {most} bytes of UTF-8", lengths > most)
    if name == ID:
        yield from _found("id_empty", name, "an empty id", lengths == 0)
    nul = pc.match_substring(column, "\0").to_numpy(zero_copy_only=False)
    yield from _found("text_nul", name, "a NUL character", nul)


def _check_numbers(field: FieldSpec, column: pa.Array) -> Iterator[Finding]:
    values = column.to_numpy(zero_copy_only=False)
    absent = ABSENT[field.type]
    if field.type is FieldType.FLAG:
        wrong = (values < -1) | (values > 1)
        yield from _found("flag_invalid", field.name, "a flag is 1, 0, or -1 for not known", wrong)
    elif field.type is FieldType.INTEGER:
        wrong = (values < INTEGER_RANGE[0]) & (values != absent)
        yield from _found(
            "integer_invalid", field.name, f"below {INTEGER_RANGE[0]} and not {absent} (not known)", wrong
        )
    else:
        yield from _found("number_not_finite", field.name, f"not finite; not known is {absent!r}", ~np.isfinite(values))


def _check_vectors(column: pa.Array, dimension: int) -> Iterator[Finding]:
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    if (lengths != dimension).any():
        yield from _found("vector_length", EMBEDDING, f"not {dimension} numbers", lengths != dimension)
        return
    numbers = column.flatten()
    if numbers.null_count:
        holes = numbers.is_null().to_numpy(zero_copy_only=False).reshape(-1, dimension).any(axis=1)
        yield from _found("null_value", EMBEDDING, "a null within a vector", holes)
        return
    matrix = numbers.to_numpy(zero_copy_only=False).reshape(-1, dimension)
    finite = np.isfinite(matrix).all(axis=1)
    yield from _found("vector_not_finite", EMBEDDING, "a NaN or an infinite number", ~finite)
    squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    wrong = finite & ~(np.abs(squares - 1.0) <= UNIT_TOLERANCE)
    shown = f"; the first one's squared length is {squares[np.flatnonzero(wrong)[0]]:.6g}" if wrong.any() else ""
    yield from _found("vector_not_unit", EMBEDDING, f"not of unit length{shown}", wrong)


def _not_utf8(column: pa.Array) -> _Rows:
    """Row by row: arrow says only that there is one."""

    def broken(value: Any) -> bool:
        try:
            value.as_buffer().to_pybytes().decode()
        except UnicodeDecodeError:
            return True
        return False

    return np.array([broken(value) for value in column], np.bool_)


def _found(code: str, column: str, message: str, rows: _Rows) -> Iterator[Finding]:
    positions = np.flatnonzero(rows)
    if positions.size:
        yield Finding(code, column, message, int(positions[0]), int(positions.size))
