"""Numbers and flags written as text, in addresses, headers and forms: as JSON writes them, and in no other way.

Pydantic alone would also take ` 5`, `5.0`, `1_000`, `nan` and `yes`, which the documentation does not say.
"""

import re
from typing import Final

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_WHOLE: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,64})?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_FLAGS: Final = {"true": True, "false": False}


def _whole(sent: object) -> object:
    if not isinstance(sent, str):
        return sent
    if _WHOLE.fullmatch(sent) is None:
        raise PydanticCustomError("int_parsing", "Input should be a whole number in digits")
    return int(sent)


def _number(sent: object) -> object:
    if not isinstance(sent, str):
        return sent
    if _NUMBER.fullmatch(sent) is None:
        raise PydanticCustomError("float_parsing", "Input should be a number in digits")
    return float(sent)


def _flag(sent: object) -> object:
    if not isinstance(sent, str):
        return sent
    if sent not in _FLAGS:
        raise PydanticCustomError("bool_parsing", "Input should be true or false")
    return _FLAGS[sent]


WRITTEN_WHOLE: Final = BeforeValidator(_whole)
WRITTEN_NUMBER: Final = BeforeValidator(_number)
WRITTEN_FLAG: Final = BeforeValidator(_flag)
