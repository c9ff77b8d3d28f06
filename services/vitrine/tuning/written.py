"""An index as one word on the command line: `hnsw`, `hnsw:M=16,ef=64`, `ivf_pq:nlist=1024,m=8,nprobe=20`."""

from vitrine.errors import InvalidInput
from vitrine.vectorstore.index_params import IndexParams, parse_index


def parse_written(text: str) -> IndexParams:
    """The kind's defaults, changed by what follows the colon.

    Raises:
        InvalidInput: not of that form, or no such kind, setting or word.
        LimitExceeded: a number out of bounds.
    """
    return parse_index(*split_written(text))


def split_written(text: str) -> tuple[str, dict[str, str]]:
    """The kind and the settings that were typed.

    Raises:
        InvalidInput: not of that form.
    """
    kind, _, settings = text.partition(":")
    pairs = [setting.partition("=") for setting in settings.split(",")] if settings else []
    if not all(name.strip() and value.strip() for name, _, value in pairs):
        raise InvalidInput(f"{text!r} is not of the form KIND or KIND:NAME=VALUE,NAME=VALUE.", index=text)
    return kind.strip(), {name.strip(): value.strip() for name, _, value in pairs}


def write_index(index: IndexParams) -> str:
    """The opposite: the kind with all its settings, as `parse_written` reads them."""
    settings = ",".join(f"{name}={value}" for name, value in index.settings().items())
    return f"{index.index_type.lower()}:{settings}" if settings else index.index_type.lower()
