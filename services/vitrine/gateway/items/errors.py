"""What can go wrong with a write that is no fault of its shape."""

from vitrine.errors import InvalidInput, Unavailable


class ItemDuplicate(InvalidInput):
    """An entry of a bulk request whose id an earlier entry has too; the first one counts, whatever becomes of it."""

    code = "item_duplicate"


class WriteUnconfirmed(Unavailable):
    """Milvus was asked to write and did not say that it had: all, none or some of it may have happened."""

    code = "write_unconfirmed"
