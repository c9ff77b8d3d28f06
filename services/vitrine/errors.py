"""What can go wrong, in the product's own words.

Every error carries a stable `code` (part of the API: clients match on it, never on the message) and the figures a
person needs to act. Errors know nothing of HTTP or of exit statuses; `gateway/errors.py` and `cli.py` each map them in
one table.
"""

from typing import ClassVar


class VitrineError(Exception):
    """Base of all errors the product raises on purpose.

    Args:
        message: one sentence that says what is wrong and what was expected.
        details: figures and names for machines (limits, ids, both fingerprints), JSON-serialisable.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class InvalidInput(VitrineError):
    """What the caller sent cannot be served as it stands."""

    code = "invalid_input"


class QueryEmpty(InvalidInput):
    """A text query without a visible character."""

    code = "query_empty"


class QueryTooLarge(InvalidInput):
    """A text query over the byte limit (far over what the model can read)."""

    code = "query_too_large"


class TextMalformed(InvalidInput):
    """Text that is not well-formed Unicode or contains NUL."""

    code = "text_malformed"


class QueryCancelsOut(InvalidInput):
    """Weighted parts whose sum has no direction left."""

    code = "query_cancels_out"


class ImageRejected(InvalidInput):
    """A picture that cannot be embedded; subclasses say why, and their codes are the reasons in a rejects file."""

    code = "image_rejected"


class ImageMissing(ImageRejected):
    """No file where the catalogue says the picture is."""

    code = "image_missing"


class ImageUnreadable(ImageRejected):
    """The file is there but the operating system does not let it be read."""

    code = "image_unreadable"


class ImageTooLarge(ImageRejected):
    """More bytes than the limit."""

    code = "image_too_large"


class ImageTooManyPixels(ImageRejected):
    """More declared pixels than the limit; found in the header, before any pixel is allocated."""

    code = "image_too_many_pixels"


class ImageFormatUnsupported(ImageRejected):
    """A known format that is not one of the accepted raster formats, such as SVG, PDF or PostScript."""

    code = "image_format_unsupported"


class ImageUnrecognised(ImageRejected):
    """Data that is no picture of any format at all, whatever its name says."""

    code = "image_unrecognised"


class ImageUrlRefused(ImageRejected):
    """An address that pictures are not fetched from: switched off, a host not on the list, a private address."""

    code = "image_url_refused"


class ImageUrlFailed(ImageRejected):
    """An allowed address that gave no picture: no answer in time, an error status, too many redirects."""

    code = "image_url_failed"


class ImageCorrupt(ImageRejected):
    """An accepted format whose data is truncated or damaged."""

    code = "image_corrupt"


class CatalogueInvalid(InvalidInput):
    """The catalogue cannot be read at all: no such folder, no CSV, a required column missing."""

    code = "catalogue_invalid"


class RowRejected(InvalidInput):
    """A catalogue row without a usable id or fields; the code is the reason in a rejects file."""

    code = "row_invalid"


class SettingsInvalid(InvalidInput):
    """A setting of the environment has an unusable value or an unknown name."""

    code = "settings_invalid"


class FilterInvalid(InvalidInput):
    """A filter over unknown fields, with a wrong type, or nested too deep."""

    code = "filter_invalid"


class CursorInvalid(InvalidInput):
    """A cursor that was altered, made elsewhere, or sent with another request than the one it belongs to."""

    code = "cursor_invalid"


class LimitExceeded(InvalidInput):
    """A count or size over a documented limit."""

    code = "limit_exceeded"


class NotFound(VitrineError):
    """The thing named does not exist (or is not visible to the caller)."""

    code = "not_found"


class CollectionNotFound(NotFound):
    """No collection or alias of that name."""

    code = "collection_not_found"


class ItemNotFound(NotFound):
    """No product of that id in the collection."""

    code = "item_not_found"


class ModelNotFound(NotFound):
    """No embedding model of that name is served here."""

    code = "model_not_found"


class CursorExpired(VitrineError):
    """A cursor whose time is over, or whose collection is gone: the walk starts anew."""

    code = "cursor_expired"


class Unavailable(VitrineError):
    """A dependency does not answer; the same request may succeed later."""

    code = "unavailable"


class EncoderUnavailable(Unavailable):
    """Triton is down, still loading, or refuses."""

    code = "encoder_unavailable"


class VectorStoreUnavailable(Unavailable):
    """Milvus is down, still loading, or refuses."""

    code = "vector_store_unavailable"


class CollectionNotReady(VectorStoreUnavailable):
    """The collection exists but is not loaded into memory yet."""

    code = "collection_not_ready"


class Overloaded(Unavailable):
    """Refused before any work was done, because too much is in flight already; `reason` in the details says where."""

    code = "overloaded"


class DeadlineExceeded(VitrineError):
    """The request's time is used up."""

    code = "deadline_exceeded"


class ContractMismatch(VitrineError):
    """Two parts disagree about which embedding model is in use; mixing them would give wrong neighbours silently."""

    code = "contract_mismatch"


class ModelInvalid(VitrineError):
    """A model repository or checkpoint that cannot be used: files missing, wrong shapes, or outputs that disagree."""

    code = "model_invalid"


class StackError(VitrineError):
    """The embedded stack cannot start, stop or be inspected."""

    code = "stack_error"


class InternalError(VitrineError):
    """A defect of ours or an answer of a dependency that its own documentation rules out."""

    code = "internal"
