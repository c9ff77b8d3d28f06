"""What `catalogue check` found out, as a page for a person or as JSON."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitrine.errors import VitrineError
from vitrine.indexer.checking.profile import FieldProfile
from vitrine.indexer.checking.unnamed import UnnamedPictures
from vitrine.indexer.rejections import Rejection

_ONE_PAGE = 12  # lines of examples
_SHOWN_CHARACTERS = 160
_SHOWN_COLUMNS = 40
_SHOWN_VALUE_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The end of a check.

    Args:
        file: the catalogue's file.
        mapping: name of the mapping.
        format: of the file.
        read: records.
        usable: of them, what an index run would embed.
        rejected: the others, by code.
        examples: the first rejections of each code.
        blank_lines: lines that are no records.
        decoded: pictures were decoded; otherwise only looked for.
        unnamed: pictures that no row names; None when not everything was read.
        described: records whose fields could be read: what shares of fields are relative to.
        fields: what each field holds.
        unmapped: columns of the file that the mapping does not use.
        notes: sentences about what looks odd.
        elapsed_s: wall time.
        rejects_file: where all rejections are listed; empty: nowhere.
        interrupted: what stopped it before the end; empty when nothing did.
        failure: why the catalogue cannot be used, or not be read to its end; None when all is well.
    """

    file: str
    mapping: str
    format: str
    read: int
    usable: int
    rejected: Counter[str]
    examples: Mapping[str, Sequence[Rejection]]
    blank_lines: int
    decoded: bool
    unnamed: UnnamedPictures | None
    described: int
    fields: Sequence[FieldProfile]
    unmapped: Sequence[str]
    notes: Sequence[str]
    elapsed_s: float
    rejects_file: str = ""
    interrupted: str = ""
    failure: VitrineError | None = None

    def as_json(self) -> dict[str, object]:
        """For `--json`: plain types only, without lone surrogates or control characters."""
        unnamed = self.unnamed
        return {
            "file": printable(self.file),
            "mapping": self.mapping,
            "format": self.format,
            "read": self.read,
            "usable": self.usable,
            "rejected": self.rejected.total(),
            "rejected_by_reason": dict(sorted(self.rejected.items())),
            "examples": {
                code: [
                    {"id": printable(one.id), "line": one.line, "image": printable(one.image)}
                    | {"message": printable(one.message)}
                    for one in examples
                ]
                for code, examples in sorted(self.examples.items())
            },
            "ignored": {"blank_line": self.blank_lines} if self.blank_lines else {},
            "pictures": {
                "decoded": self.decoded,
                "missing": self.rejected["image_missing"],
                "unnamed": None if unnamed is None else unnamed.count,
                "unnamed_examples": [] if unnamed is None else [printable(name) for name in unnamed.examples],
            },
            "fields": [self._field_as_json(profile) for profile in self.fields],
            "unmapped_columns": [printable(name) for name in self.unmapped],
            "notes": [printable(note) for note in self.notes],
            "elapsed_s": round(self.elapsed_s, 3),
            "rejects_file": self.rejects_file,
            "interrupted": self.interrupted,
            "error": None if self.failure is None else {"code": self.failure.code, "message": self.failure.message},
        }

    def print(self, console: Console) -> None:
        """One page: counts, reasons with examples, pictures, fields, notes."""

        def say(text: str, style: str = "") -> None:
            console.print(Text(text, style), soft_wrap=True)

        say(f"{printable(self.file)} ({self.format}, mapping {self.mapping})", "bold")
        blank = f", {self.blank_lines:,} blank lines beside them" if self.blank_lines else ""
        say(
            f"{self.read:,} records in {self.elapsed_s:.1f} s: {self.usable:,} usable, "
            f"{self.rejected.total():,} to be rejected{blank}"
        )
        if self.interrupted:
            say(f"Stopped by {self.interrupted}: this is about what was read until then.")
        if self.rejected:
            console.print(self._reasons())
        say(self._pictures())
        if self.described:
            console.print(self._field_table())
        for note in self.notes:
            say(f"- {printable(note)}")
        if self.unmapped:
            more = len(self.unmapped) - _SHOWN_COLUMNS
            names = printable(", ".join(self.unmapped[:_SHOWN_COLUMNS])) + (f", and {more} more" if more > 0 else "")
            say(f"- Columns that the mapping does not use: {names}.")
        if self.rejects_file and self.rejected:
            say(f"All rejections: {self.rejects_file}")

    def _reasons(self) -> Table:
        place = "row" if self.format == "parquet" else "line"
        table = Table("reason", "count", f"for example ({place}, id: why)")
        table.columns[1].justify = "right"
        shown = 2 if 2 * len(self.rejected) <= _ONE_PAGE else 1
        for code, count in self.rejected.most_common():
            told = (f"{one.line}, {one.id or '?'}: {one.message}" for one in self.examples[code][:shown])
            lines = [_shortened(printable(text), _SHOWN_CHARACTERS) for text in told]
            table.add_row(code, f"{count:,}", Text("\n".join(lines)))
        return table

    def _pictures(self) -> str:
        if self.decoded:
            seen = f"{self.usable:,} pictures were decoded"
        else:
            seen = f"{self.usable:,} pictures are there; whether they can be decoded was not asked"
        missing = f"{self.rejected['image_missing']:,} rows have none"
        if self.unnamed is None:
            return f"{seen}, {missing}."
        examples = f" ({', '.join(printable(name) for name in self.unnamed.examples)})" if self.unnamed.count else ""
        return f"{seen}, {missing}, and {self.unnamed.count:,} pictures are named by no row{examples}."

    def _field_table(self) -> Table:
        table = Table("field", "type", "filled", "values", "for example")
        for column in (2, 3):
            table.columns[column].justify = "right"
        for profile in self.fields:
            table.add_row(
                profile.spec.name,
                profile.spec.type.value,
                f"{_share(profile.filled, self.described):.1%}",
                f"{'' if profile.distinct.exact else '~'}{profile.distinct.count:,}",
                Text(", ".join(_values(profile))),
            )
        return table

    def _field_as_json(self, profile: FieldProfile) -> dict[str, object]:
        return {
            "field": profile.spec.name,
            "column": printable(profile.column),
            "type": profile.spec.type.value,
            "filterable": profile.spec.filterable,
            "facetable": profile.spec.facetable,
            "filled": profile.filled,
            "filled_share": round(_share(profile.filled, self.described), 4),
            "distinct": profile.distinct.count,
            "distinct_exact": profile.distinct.exact,
            "cut": profile.cut,
            "least": profile.least,
            "most": profile.most,
            "examples": [
                _shortened(printable(value), _SHOWN_CHARACTERS) if isinstance(value, str) else value
                for value in profile.examples
            ],
        }


def printable(text: str) -> str:
    """With escapes for what a terminal would obey, hide or refuse: control characters, bidi marks, lone surrogates."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _values(profile: FieldProfile) -> Iterator[str]:
    if profile.least is not None and profile.most is not None:
        yield f"{profile.least:g} to {profile.most:g}"
        return
    for value in profile.examples:
        yield _shortened(printable(str(value)), _SHOWN_VALUE_CHARACTERS)


def _shortened(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 1]}…"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
