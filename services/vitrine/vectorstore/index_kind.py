"""What every kind of index can do: tell its settings, check them, and turn them into what Milvus takes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self, TypeAlias

from vitrine.errors import InvalidInput, LimitExceeded

ParamValue: TypeAlias = int | str | bool
Bounds: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class IndexParams(ABC):
    """One kind of index with its settings; those used at search time are the defaults of each search.

    Making one checks every value.

    Raises:
        LimitExceeded: a number outside Milvus's bounds.
        InvalidInput: a word Milvus does not know.
    """

    index_type: ClassVar[str]
    """Milvus's name of the kind."""
    minimum_server: ClassVar[str]
    """The least Milvus version that builds and searches it."""
    bounds: ClassVar[Mapping[str, Bounds]] = {}
    """Least and greatest value of each number."""
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Accepted words of each text."""
    search_names: ClassVar[tuple[str, ...]] = ()
    """Settings that belong to a search; the others are fixed when the index is built."""

    def __post_init__(self) -> None:
        for name, value in self.settings().items():
            self._check(name, value)

    def settings(self) -> dict[str, ParamValue]:
        """Every setting by Milvus's name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def build_params(self) -> dict[str, ParamValue]:
        """What Milvus takes as `params` when the index is created."""
        return {name: value for name, value in self.settings().items() if name not in self.search_names}

    def search_settings(self) -> dict[str, int]:
        """Defaults of a search, by name."""
        return {name: int(getattr(self, name)) for name in self.search_names}

    def with_search(self, settings: Mapping[str, int]) -> Self:
        """The same index, whose searches have other defaults.

        Raises:
            InvalidInput: a setting that its searches do not take.
            LimitExceeded: a value out of bounds.
        """
        self.search_params(settings, limit=1)
        return replace(self, **self._searched(settings))

    @abstractmethod
    def search_params(self, overrides: Mapping[str, int], *, limit: int, reach: int = 0) -> dict[str, int]:
        """What Milvus takes as `params` of one search; also `rerank`, where a kind has it, for `VectorSearcher`.

        Args:
            overrides: settings of this search alone.
            limit: neighbours the caller wants, skipped ones included.
            reach: neighbours really fetched, where that is more; settings too small for them are raised in silence,
                since the caller does not know of them.

        Raises:
            InvalidInput: a setting this index has no use for.
            LimitExceeded: a value out of bounds, or too small for `limit`.
        """

    def check_dimension(self, dimension: int) -> None:  # noqa: B027 - most kinds hold any dimension
        """Refuses vectors that this index cannot hold.

        Raises:
            InvalidInput: with the reason.
        """

    def describe(self) -> dict[str, ParamValue]:
        """The kind's API name and its settings, as `index_from_description` reads them."""
        return {"type": self.index_type.lower(), **self.settings()}

    @classmethod
    def parse(cls, overrides: Mapping[str, ParamValue]) -> Self:
        """The defaults, changed by what a person typed."""
        known = {field.name: field for field in fields(cls)}
        values: dict[str, ParamValue] = {}
        for name, typed in overrides.items():
            if name not in known:
                raise InvalidInput(
                    f"{cls.index_type} has no parameter {name!r}; it has {', '.join(known) or 'none'}.",
                    parameter=name,
                    known=list(known),
                )
            values[name] = _typed(name, typed, known[name].default)
        return cls(**values)

    def _searched(self, overrides: Mapping[str, int]) -> dict[str, int]:
        """Search-time defaults with a search's own values, each within bounds."""
        values = self.search_settings()
        for name, value in overrides.items():
            if name not in self.search_names:
                allowed = ", ".join(self.search_names) or "none"
                raise InvalidInput(
                    f"A search of {self.index_type} takes no parameter {name!r}; it takes {allowed}.",
                    parameter=name,
                    known=list(self.search_names),
                )
            self._check(name, value)
            values[name] = value
        return values

    def _check(self, name: str, value: object) -> None:
        if name in self.choices:
            if value not in self.choices[name]:
                words = ", ".join(self.choices[name])
                raise InvalidInput(f"{name} must be one of {words}, not {value!r}.", parameter=name, value=str(value))
        elif name in self.bounds:
            least, most = self.bounds[name]
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise LimitExceeded(
                    f"{name} must be a whole number from {least} to {most}, not {value!r}.",
                    parameter=name,
                    minimum=least,
                    maximum=most,
                )


def _typed(name: str, typed: ParamValue, default: object) -> ParamValue:
    """`typed` as the type of `default`."""
    if isinstance(default, bool):
        text = str(typed).lower()
        if text not in ("true", "false"):
            raise InvalidInput(f"{name} must be true or false, not {typed!r}.", parameter=name, value=str(typed))
        return text == "true"
    if isinstance(default, int):
        try:
            return typed if isinstance(typed, int) else int(typed)
        except ValueError:
            raise InvalidInput(f"{name} must be a whole number, not {typed!r}.", parameter=name) from None
    return str(typed).upper()
