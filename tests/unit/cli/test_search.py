"""What `vitrine search` sends, by a server that notes it, and what it prints of an answer."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from vitrine.cli.app import build_app
from vitrine.cli.search import label, print_answer
from vitrine.client import SearchAnswer
from vitrine.errors import InvalidInput

PIXEL = Path(__file__).parents[2] / "data" / "images" / "rgb_one_pixel.png"
ANSWER: dict[str, Any] = {
    "hits": [
        {
            "id": "0108775015",
            "score": 0.8125,
            "title": "Strap [bold]top[/]\x1b[2J",
            "siblings": 3,
            "metadata": {"colour": "red", "price": 9.5},
        },
        {"id": "[red]", "score": 0.25, "title": "Odd key", "siblings": 0},
    ],
    "took_ms": {"total": 9.14, "embed": 3.2},
    "collection": "products_v1",
    "model": {"name": "tiny", "fingerprint": "f" * 64},
    "next_cursor": "c1",
    "facets": {
        "colour": {
            "values": [{"value": f"shade {n}", "count": 20 - n} for n in range(14)],
            "missing": 4,
            "others": 2,
        },
    },
    "facets_over": 200,
    "warnings": ["query_truncated"],
    "request_id": "r-1",
}


class _Noting(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str | None, dict[str, Any]]]]

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append((self.path, self.headers["authorization"], sent))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's own name
        """Keeps the test's output clean."""


class Gateway:
    """Runs `vitrine search` against the server, with a wide terminal."""

    def __init__(self, url: str, seen: list[tuple[str, str | None, dict[str, Any]]]) -> None:
        self.url = url
        self.seen = seen

    def search(self, *arguments: str, **environment: str) -> Result:
        environment = {"COLUMNS": "160", "VITRINE_URL": self.url, **environment}
        return CliRunner().invoke(build_app(), ["search", *arguments], env=environment)

    def body(self, *arguments: str) -> dict[str, Any]:
        """What the search of these arguments sends."""
        result = self.search(*arguments)
        assert result.exit_code == 0, result.output
        return self.seen[-1][2]


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    handler = type("Noting", (_Noting,), {"seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield Gateway(f"http://127.0.0.1:{http.server_port}", handler.seen)
        http.shutdown()
        thread.join(timeout=10)


def test_a_plain_search_says_only_what_it_must(gateway: Gateway) -> None:
    assert gateway.body("red dress") == {"query": [{"text": "red dress", "weight": 1.0}], "limit": 10, "offset": 0}
    assert gateway.seen[0][:2] == ("/v1/collections/products/search", None)


def test_every_option_is_a_member_of_the_search(gateway: Gateway) -> None:
    options = "--filter colour:red --group-by group --facet colour --facet price --min-score 0.1 --limit 5"
    body = gateway.body("top", *options.split(), "--cursor", "c7", "--collection", "shop")
    assert body == {
        "query": [{"text": "top", "weight": 1.0}],
        "filter": "colour:red",
        "group_by": "group",
        "facets": ["colour", "price"],
        "min_score": 0.1,
        "limit": 5,
        "offset": 0,
        "cursor": "c7",
    }
    assert gateway.seen[0][0] == "/v1/collections/shop/search"


def test_parts_have_their_weights(gateway: Gateway) -> None:
    parts = ("--image", str(PIXEL), "--like", "1", "--minus", "floral", "--minus", "striped", "--weight", "2.5")
    first, picture, like, *less = gateway.body("red", *parts)["query"]
    assert first == {"text": "red", "weight": 2.5}
    assert picture["image"].startswith("data:image/png;base64,")
    assert like == {"id": "1", "weight": 1.0}
    assert [part["text"] for part in less] == ["floral", "striped"]
    assert all(part["weight"] < 0 for part in less)


def test_a_page_is_an_offset(gateway: Gateway) -> None:
    assert gateway.body("top", "--page", "3", "--limit", "7")["offset"] == 14


def test_the_key_comes_from_the_environment_or_an_option(gateway: Gateway) -> None:
    gateway.search("top", VITRINE_API_KEY="from-environment")
    gateway.search("top", "--key", "from-option", VITRINE_API_KEY="from-environment")
    assert [authorization for _, authorization, _ in gateway.seen] == ["Bearer from-environment", "Bearer from-option"]


def test_the_key_is_not_shown(gateway: Gateway) -> None:
    for arguments in (("top",), ("top", "--json"), ("--help",), ("top", "--limit", "none")):
        assert "opensesame" not in gateway.search(*arguments, VITRINE_API_KEY="opensesame").output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "Say what to look for"),
        (("--minus", "floral"), "Say what to look for"),
        (("top", "--page", "2", "--cursor", "c1"), "not both"),
        (("top", "--key", "two words"), "API key"),
    ],
)
def test_what_makes_no_search_is_refused_before_it_is_sent(
    gateway: Gateway, arguments: tuple[str, ...], complaint: str
) -> None:
    result = gateway.search(*arguments)
    assert isinstance(result.exception, InvalidInput)
    assert complaint in result.exception.message
    assert gateway.seen == []


def test_json_is_what_the_gateway_said(gateway: Gateway) -> None:
    assert json.loads(gateway.search("top", "--json").stdout) == ANSWER


def test_the_way_to_more_hits_is_told_where_there_are_more(gateway: Gateway) -> None:
    assert "More: --page 2" in gateway.search("top").stdout
    assert "More" not in gateway.search("top", "--cursor", "c7").stdout


def test_a_page_that_is_not_full_is_the_last(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    # An answer to a search with an offset has no cursor.
    monkeypatch.setitem(ANSWER, "next_cursor", None)
    assert "More: --page 4" in gateway.search("top", "--page", "3", "--limit", "2").stdout
    assert "More" not in gateway.search("top", "--page", "3", "--limit", "3").stdout


def test_a_table_has_hits_siblings_facets_times_and_warnings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    print_answer(SearchAnswer.model_validate(ANSWER), "red [top]", first_rank=11)
    shown = capsys.readouterr().out
    assert '"red [top]" in products_v1' in shown
    row = next(line for line in shown.splitlines() if "0108775015" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "11",
        "0108775015",
        "0.812",
        "Strap [bold]top[/] [2J",
        "3",
        "red, 9.5",
    ]
    assert "[red]" in shown
    assert "\x1b" not in shown
    # Twelve values are shown; the counts of the other two (8 + 7) are added to the server's own rest.
    assert "colour in the best 200: shade 0 20, " in shown
    assert "shade 11 9, (others 17), (none 4)" in shown
    assert "ms: total 9.1, embed 3.2   model: tiny ffffffffffff" in shown
    assert "warning: query_truncated" in shown


def test_a_table_without_groups_has_no_column_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    hits = [{"id": "1", "score": 0.5}]
    print_answer(SearchAnswer.model_validate({**ANSWER, "hits": hits, "facets": {}}), "x")
    shown = capsys.readouterr().out
    assert "siblings" not in shown
    assert "best 200" not in shown


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("top", None, None), "top"),
        (("top", Path("a/b.jpg"), "7", ["floral", "red"]), "top + picture b.jpg + like 7 - floral - red"),
        ((None, Path("b.jpg"), None, ["floral"]), "picture b.jpg - floral"),
    ],
)
def test_a_query_is_named_as_a_person_would(parts: tuple[Any, ...], words: str) -> None:
    assert label(*parts) == words
