"""`--index` and `--index-param`, as several verbs have them."""

from typing import TYPE_CHECKING

from vitrine.errors import InvalidInput

if TYPE_CHECKING:
    from vitrine.vectorstore.index_params import IndexParams


def index_of_options(name: str | None, parameters: list[str]) -> "IndexParams | None":
    """The index that was asked for; None when none was.

    Raises:
        InvalidInput: a parameter without an index, or not of the form NAME=VALUE; see `parse_index`, too.
    """
    from vitrine.vectorstore.index_params import parse_index

    if name is None:
        if parameters:
            raise InvalidInput("--index-param needs --index.")
        return None
    pairs = [parameter.partition("=") for parameter in parameters]
    wrong = [name for name, equals, value in pairs if not (name and equals and value)]
    if wrong:
        raise InvalidInput(f"--index-param {wrong[0]!r} is not of the form NAME=VALUE.")
    return parse_index(name, {key.strip(): value.strip() for key, _, value in pairs})
