import re
from pathlib import Path

import pytest

from vitrine.domain import FieldType
from vitrine.errors import CatalogueInvalid
from vitrine.indexer.mapping import RESERVED_FIELDS, CatalogueMapping, ImageTemplate, load_mapping
from vitrine.vectorstore.collection import RESERVED_NAMES

MINIMAL = """
version = 1
name = "mine"
file = "items.csv"
image = "{picture}"
[id]
column = "sku"
[title]
column = "name"
"""


def load(tmp_path: Path, text: str) -> CatalogueMapping:
    path = tmp_path / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return load_mapping(str(path))


def test_the_hm_mapping_ships_and_declares_what_can_be_filtered() -> None:
    mapping = load_mapping("hm")
    assert mapping.id.digits == 10
    by_name = {rule.name: rule for rule in mapping.fields}
    assert by_name["colour_group_name"].facetable
    assert not by_name["detail_desc"].filterable
    assert by_name["price"].optional
    assert by_name["price"].type is FieldType.NUMBER
    assert mapping.group is not None


def test_a_template_takes_columns_and_their_first_characters() -> None:
    template = ImageTemplate.parse("images/{id:.3}/{season}-{id}.jpg")
    values = {"id": "0108775015", "season": "ss26"}
    assert template.render(values.__getitem__) == "images/010/ss26-0108775015.jpg"
    assert template.columns == {"season"}


@pytest.mark.parametrize(
    "template",
    ["images/none.jpg", "{id", "id}", "{}", "{id:>3}", "{id:.0}", "{id.__class__:x}", "{{id}}", "{id:.100}"],
)
def test_a_template_says_nothing_else(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        ImageTemplate.parse(template)


def test_a_minimal_mapping_is_enough(tmp_path: Path) -> None:
    mapping = load(tmp_path, MINIMAL)
    assert mapping.delimiter == ","


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("version = 1", "version = 2"), "version"),
        (('file = "items.csv"', 'file = "../items.csv"'), "inside"),
        (('file = "items.csv"', 'file = "/etc/passwd"'), "inside"),
        (('image = "{picture}"', 'image = "{picture!r}"'), None),
        (('image = "{picture}"', 'image = "x{"'), "placeholder"),
        (("[title]", "[titel]"), "title"),
        (('column = "sku"', ""), "id.column"),
    ],
)
def test_what_is_wrong_in_a_mapping_is_named(tmp_path: Path, change: tuple[str, str], message: str | None) -> None:
    text = MINIMAL.replace(*change)
    if message is None:
        # `picture!r` is a column's name like any other: it is looked up in the header, and never evaluated.
        assert load(tmp_path, text).template.columns == {"picture!r"}
        return
    with pytest.raises(CatalogueInvalid, match=message):
        load(tmp_path, text)


@pytest.mark.parametrize("name", ["id", "embedding", "image_path", "title"])
def test_reserved_field_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CatalogueInvalid, match=name):
        load(tmp_path, MINIMAL + f'[[fields]]\nname = "{name}"\ntype = "text"\n')


def test_every_name_that_a_collection_reserves_is_refused_early() -> None:
    assert RESERVED_NAMES <= RESERVED_FIELDS


def test_field_names_are_distinct(tmp_path: Path) -> None:
    field = '[[fields]]\nname = "colour"\ntype = "text"\n'
    with pytest.raises(CatalogueInvalid, match="colour"):
        load(tmp_path, MINIMAL + field + field)


def test_a_mapping_that_is_not_there_says_which_ship(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="hm"):
        load_mapping(str(tmp_path / "none.toml"))
    with pytest.raises(CatalogueInvalid, match="hm"):
        load_mapping("zalando")


def test_broken_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogueInvalid, match="TOML"):
        load(tmp_path, "version = ")


def test_the_digest_changes_with_the_content(tmp_path: Path) -> None:
    one = load(tmp_path, MINIMAL)
    other = load(tmp_path, MINIMAL.replace('"name"', '"label"'))
    assert one.digest != other.digest
    assert one.digest == load(tmp_path, MINIMAL + "# a comment\n").digest


@pytest.mark.parametrize(
    ("file", "file_format", "delimiter"),
    [
        ("items.csv", "csv", ","),
        ("items.TSV", "tsv", "\t"),
        ("items.tab", "tsv", "\t"),
        ("items.jsonl", "jsonl", ","),
        ("export/items.ndjson", "jsonl", ","),
        ("items.parquet", "parquet", ","),
        ("items", "csv", ","),
    ],
)
def test_the_format_is_what_the_files_suffix_says(tmp_path: Path, file: str, file_format: str, delimiter: str) -> None:
    mapping = load(tmp_path, MINIMAL.replace("items.csv", file))
    assert (mapping.format, mapping.delimiter, mapping.quoted) == (file_format, delimiter, True)


def test_the_format_can_be_said(tmp_path: Path) -> None:
    mapping = load(tmp_path, 'format = "tsv"\nquoted = false\n' + MINIMAL)
    assert (mapping.format, mapping.delimiter, mapping.quoted) == ("tsv", "\t", False)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('format = "xml"\n', "format"),
        ('format = "parquet"\ndelimiter = ";"\n', "delimiter mean"),
        ('format = "jsonl"\nquoted = true\n', "quoted mean"),
        ('delimiter = "::"\n', "delimiter"),
    ],
)
def test_keys_that_do_not_suit_the_format_are_refused(tmp_path: Path, more: str, message: str) -> None:
    with pytest.raises(CatalogueInvalid, match=message):
        load(tmp_path, more + MINIMAL)


def test_the_columns_that_are_read_and_those_that_must_be_there(tmp_path: Path) -> None:
    mapping = load(
        tmp_path,
        MINIMAL.replace("{picture}", "{season}/{id}.jpg")
        + '[group]\ncolumn = "design"\n[[fields]]\nname = "price"\ntype = "number"\noptional = true\n'
        + '[[fields]]\nname = "colour"\ncolumn = "Farbe"\ntype = "text"\n',
    )
    assert mapping.identifying_columns == {"sku", "season", "design"}
    assert mapping.required_columns == {"sku", "season", "design", "name", "Farbe"}
    assert mapping.columns == {"sku", "season", "design", "name", "Farbe", "price"}
    assert mapping.template.folder == ""
    assert ImageTemplate.parse("a/b/c{id}.jpg").folder == "a/b"


def test_the_mapping_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "catalogues.md").read_text(encoding="utf-8")
    shown = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    # With the keys that are shown switched off, too.
    mapping = load(tmp_path, re.sub(r"^# (\w+ = )", r"\1", shown[1], flags=re.MULTILINE))
    assert (mapping.name, mapping.id.digits, mapping.delimiter, mapping.quoted) == ("shoes", 10, ";", False)
    assert [rule.name for rule in mapping.fields] == ["colour", "price"]
