"""Every example of the documentation is run: what a reader copies must work, and answer what the page shows."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.documented import Example, Reader, examples_of
from tests.fixtures.indexing import Indexing
from tests.fixtures.serving import RunningGateway
from tests.fixtures.shop import COLUMNS, Shop, jpeg
from tests.fixtures.stack import ROOT, RunningStack

DOCUMENTS = ("api.md", "client.md", "auth.md")
ALIAS = "documented"
FOUND = {name: examples_of(ROOT / "docs" / name) for name in DOCUMENTS if (ROOT / "docs" / name).exists()}
EXAMPLES = [example for examples in FOUND.values() for example in examples]


@pytest.fixture(scope="module")
def documented_shop(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue of its own, since some examples write; with the product that the documents speak of."""
    shop = Shop(tmp_path_factory.mktemp("documented-shop"))
    shop.columns = [*COLUMNS, "price"]
    for n in range(40):
        shop.add(
            f"{108775000 + n:010d}",
            prod_name=("Wrap dress", "Strap top")[n % 2],
            colour_group_name=("Red", "Blue", "Green")[n % 3],
            price=f"{9.5 + n}",
        )
    folder = shop.write()
    Indexing(stack.settings, tmp_path_factory.mktemp("documented-indexing")).index(folder, ALIAS)
    return folder


@pytest.fixture(scope="module")
def reader(stack: RunningStack, documented_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader with pictures beside them, and a gateway that serves the shop's own."""
    gateway = RunningGateway(
        stack.settings,
        tmp_path_factory.mktemp("documented-gateway") / "log",
        environment={"VITRINE_ITEMS__IMAGES_ROOT": str(documented_shop)},
        media_root=documented_shop,
    )
    folder = tmp_path_factory.mktemp("reader")
    for name in ("shirt.jpg", "dress.jpg"):
        (folder / name).write_bytes(jpeg(len(name)))
    try:
        gateway.wait_alive()
        yield Reader(folder, gateway.url, ALIAS)
    finally:
        gateway.stop()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_document_has_examples(name: str) -> None:
    assert FOUND.get(name), f"no example was found in docs/{name}"


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.source for example in EXAMPLES])
def test_an_example_does_what_its_page_says(reader: Reader, example: Example) -> None:
    reader.run(example)


# --- The reader itself, who must not believe everything.

PAGE = """
Some text,

    curl -s http://127.0.0.1:8080/v1/models \\
         -H 'X-Timeout-Ms: 500'

and what comes of it:

```json
{"object": "list", "data": []}
```

    {"field": "price", "op": "lt", "value": 3}

- a list

      with lines that belong to it

    not a command

```python
print("hello")
```
"""


def test_examples_are_found_with_their_answers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    models, search, python = examples_of(page)
    assert (models.source, models.language, models.answer) == ("page.md:4", "sh", {"object": "list", "data": []})
    assert models.text.splitlines()[1].strip() == "-H 'X-Timeout-Ms: 500'"
    assert json.loads(search.text.splitlines()[1])["filter"] == {"field": "price", "op": "lt", "value": 3}
    assert (python.language, python.text) == ("python", 'print("hello")')


CURL = "curl -s http://127.0.0.1:8080/v1"


@pytest.mark.parametrize(
    "wrong",
    [
        Example("refused", "sh", f"{CURL}/nothing"),
        Example("answered instead of refused", "sh", f"{CURL}/models", {"status": 404, "code": "not_found"}),
        Example("another member", "sh", f"{CURL}/models", {"object": "list", "data": [], "more": 1}),
        Example("a missing member", "sh", f"{CURL}/models", {"object": "list"}),
        Example("another type", "sh", f"{CURL}/models", {"object": 7, "data": []}),
        Example("a member deep inside", "sh", f"{CURL}/models", {"object": "list", "data": [{"id": "x"}]}),
        Example("no such command", "sh", "vitrine serach dress"),
        Example("nobody listens", "sh", "curl -s http://127.0.0.1:9/"),
        Example("an exception", "python", "raise SystemExit(1)"),
        Example("a warning", "python", "import warnings; warnings.warn('old')"),
    ],
    ids=lambda example: example.source,
)
def test_an_example_that_does_not_work_is_noticed(reader: Reader, wrong: Example) -> None:
    with pytest.raises(AssertionError):
        reader.run(wrong)


def test_a_refusal_that_the_page_shows_is_none(reader: Reader) -> None:
    shown = {"type": "", "title": "", "status": 404, "detail": "", "code": "route_not_found", "request_id": ""}
    reader.run(Example("shown", "sh", f"{CURL}/nothing", shown))


def test_what_one_example_sets_the_next_one_has(reader: Reader) -> None:
    reader.run(Example("sets", "sh", "export HERE=models; NOW=1"))
    reader.run(Example("uses", "sh", f'{CURL}/"$HERE" | grep -c list | grep -qx "$NOW"'))
