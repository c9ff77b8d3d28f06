"""Values of items as columns of Milvus's protocol, and back.

Milvus before 2.5 has no null, so a value that an item does not have is stored as one that no item can have.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pymilvus import DataType
from pymilvus.grpc_gen import schema_pb2

from vitrine.domain import EmbeddedItem, FieldSpec, FieldType, FieldValue, Vectors
from vitrine.errors import InvalidInput
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

ABSENT: Mapping[FieldType, FieldValue] = {
    FieldType.TEXT: "",
    FieldType.INTEGER: -(2**63 - 1),  # one above the least: Milvus's expressions cannot spell the least
    FieldType.NUMBER: -sys.float_info.max,
    FieldType.FLAG: -1,
}
"""What stands for "no value" in a column of each type."""

INTEGER_RANGE = (-(2**63 - 2), 2**63 - 1)

UNIT_TOLERANCE = 1e-3
"""Of the squared length: what float16 models leave, far from what a missing division does."""


def columns_of(items: Sequence[EmbeddedItem], fields: Sequence[FieldSpec], dimension: int) -> list[Any]:
    """Columns of an upsert, each a protobuf `FieldData` of len(items) values.

    Raises:
        InvalidInput: naming the item and what is wrong with it.
    """
    stored, matrix = stored_columns(items, fields, dimension)
    floats = schema_pb2.VectorField(dim=dimension, float_vector=_packed(matrix))
    vectors = schema_pb2.FieldData(type=DataType.FLOAT_VECTOR, field_name=EMBEDDING, vectors=floats)
    columns = [_text_column(name, stored[name]) for name in (ID, TITLE, GROUP, IMAGE_PATH)]
    columns.insert(1, vectors)
    return columns + [_scalar_column(field, stored[field.name]) for field in fields]


def stored_columns(
    items: Sequence[EmbeddedItem], fields: Sequence[FieldSpec], dimension: int
) -> tuple[dict[str, list[Any]], Vectors]:
    """Items as Milvus stores them, whichever way they get there: checked, cut, absent values spelled out.

    Returns:
        Scalar columns by name, in the collection's order, and the vectors, float32 [len(items), dimension].

    Raises:
        InvalidInput: naming the item and what is wrong with it.
    """
    catalogue = [embedded.item for embedded in items]
    columns: dict[str, list[Any]] = {
        ID: [_checked_id(item.id) for item in catalogue],
        TITLE: [cut(_well_formed(item.title, item.id), TITLE_BYTES) for item in catalogue],
        GROUP: [_whole(item.group, GROUP_BYTES, "group", item.id) for item in catalogue],
        IMAGE_PATH: [_whole(item.image_path, IMAGE_PATH_BYTES, "image_path", item.id) for item in catalogue],
    }
    matrix = _checked_vectors([embedded.vector for embedded in items], columns[ID], dimension)
    for field in fields:
        columns[field.name] = [_stored(field, item.fields.get(field.name), item.id) for item in catalogue]
    return columns, matrix


def values_in(column: Any) -> list[Any]:
    """Values of a scalar column of an answer, as Milvus stores them."""
    return list(data_in(column))


def data_in(column: Any) -> Sequence[Any]:
    """The same without a copy, for those who read a few of many: each becomes an object when it is read."""
    scalars = column.scalars
    if column.type == DataType.VARCHAR:
        return scalars.string_data.data  # type: ignore[no-any-return]
    if column.type == DataType.INT64:
        return scalars.long_data.data  # type: ignore[no-any-return]
    if column.type == DataType.DOUBLE:
        return scalars.double_data.data  # type: ignore[no-any-return]
    return scalars.int_data.data  # type: ignore[no-any-return]


def vectors_in(column: Any) -> Vectors:
    """Vectors of an answer, float32 [n, dim]."""
    numbers = column.vectors.float_vector
    packed = numbers.SerializeToString()
    flat = np.frombuffer(packed, "<f4", offset=len(packed) - 4 * len(numbers.data))  # after the tag and the length
    return flat.astype(np.float32).reshape(-1, column.vectors.dim)


def loaded(field: FieldSpec, stored: Any) -> FieldValue | None:
    """A field's value from what Milvus stores; None when the item has none."""
    if stored == ABSENT[field.type]:
        return None
    return bool(stored) if field.type is FieldType.FLAG else stored


def cut(text: str, max_bytes: int) -> str:
    """The longest beginning of `text` within `max_bytes` of UTF-8 that ends between two characters."""
    encoded = text.encode()
    if len(encoded) <= max_bytes:
        return text
    return encoded[:max_bytes].decode(errors="ignore")


def can_be_id(text: str) -> bool:
    """Whether an item of that id can exist."""
    try:
        return 1 <= len(text.encode()) <= ID_BYTES
    except UnicodeEncodeError:
        return False


def _stored(field: FieldSpec, value: FieldValue | None, item_id: str) -> FieldValue:
    if value is None:
        return ABSENT[field.type]
    if field.type is FieldType.TEXT and isinstance(value, str):
        return cut(_well_formed(value, item_id), field.max_bytes)
    if field.type is FieldType.FLAG and isinstance(value, bool):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if field.type is FieldType.INTEGER and INTEGER_RANGE[0] <= value <= INTEGER_RANGE[1]:
            return value
        if field.type is FieldType.NUMBER:
            return float(value)
    if field.type is FieldType.NUMBER and isinstance(value, float) and math.isfinite(value):
        return value + 0.0  # minus zero becomes zero: not every server finds one when asked for the other
    raise InvalidInput(
        f"Field {field.name!r} of item {item_id!r} is no {field.type.value} that can be stored: {value!r:.100}.",
        id=item_id,
        field=field.name,
    )


def _checked_id(value: str) -> str:
    if not value:
        raise InvalidInput("An item without an id cannot be stored.")
    return _whole(value, ID_BYTES, "id", value)


def _whole(value: str, max_bytes: int, name: str, item_id: str) -> str:
    """For texts that mean something else once they are cut."""
    length = len(_well_formed(value, item_id).encode())
    if length > max_bytes:
        raise InvalidInput(
            f"The {name} of item {item_id[:128]!r} has {length} bytes; {max_bytes} can be stored.",
            id=item_id[:128],
            field=name,
            maximum=max_bytes,
        )
    return value


def _well_formed(value: str, item_id: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(
            f"Item {item_id!r} holds text that is no Unicode (a lone surrogate).", id=repr(item_id)
        ) from None
    return value


def _text_column(name: str, values: list[str]) -> Any:
    strings = schema_pb2.ScalarField(string_data=schema_pb2.StringArray(data=values))
    return schema_pb2.FieldData(type=DataType.VARCHAR, field_name=name, scalars=strings)


def _scalar_column(field: FieldSpec, values: list[Any]) -> Any:
    if field.type is FieldType.TEXT:
        return _text_column(field.name, values)
    if field.type is FieldType.INTEGER:
        scalars = schema_pb2.ScalarField(long_data=schema_pb2.LongArray(data=values))
        return schema_pb2.FieldData(type=DataType.INT64, field_name=field.name, scalars=scalars)
    if field.type is FieldType.NUMBER:
        scalars = schema_pb2.ScalarField(double_data=schema_pb2.DoubleArray(data=values))
        return schema_pb2.FieldData(type=DataType.DOUBLE, field_name=field.name, scalars=scalars)
    scalars = schema_pb2.ScalarField(int_data=schema_pb2.IntArray(data=values))
    return schema_pb2.FieldData(type=DataType.INT8, field_name=field.name, scalars=scalars)


def _checked_vectors(vectors: list[Vectors], ids: list[str], dimension: int) -> Vectors:
    for vector, item_id in zip(vectors, ids, strict=True):
        if vector.shape != (dimension,):
            raise InvalidInput(
                f"The vector of item {item_id!r} has shape {vector.shape}; the collection holds [{dimension}].",
                id=item_id,
                dimension=dimension,
            )
    matrix = np.ascontiguousarray(np.stack(vectors), dtype="<f4")
    squares = np.einsum("ij,ij->i", matrix, matrix)
    wrong = np.flatnonzero(~(np.abs(squares - 1.0) <= UNIT_TOLERANCE))  # "not within": NaN is never within
    if wrong.size:
        row = int(wrong[0])
        raise InvalidInput(
            f"The vector of item {ids[row]!r} is not of unit length: its squared length is {squares[row]:.6g}.",
            id=ids[row],
            squared_length=float(squares[row]) if math.isfinite(squares[row]) else None,
        )
    return matrix


def _packed(matrix: Vectors) -> Any:
    """A `FloatArray` of the matrix's numbers.

    On the wire that is a tag, a length and the numbers as they lie in memory. Filled the usual way, protobuf takes each
    number through a Python object: 26 ms of the event loop for 1,000 vectors of 512, this way 0.5 ms.
    """
    numbers = matrix.tobytes()
    length, rest = bytearray(), len(numbers)
    while rest > 0x7F:
        length.append(rest & 0x7F | 0x80)
        rest >>= 7
    length.append(rest)
    return schema_pb2.FloatArray.FromString(b"\x0a" + bytes(length) + numbers)
