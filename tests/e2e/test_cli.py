"""The command line as a person meets it: a process of its own, its output, its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from tests.e2e.conftest import OpenGateway
from tests.fixtures.serving import RunningGateway

TIMEOUT_S = 120


def vitrine(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs `vitrine ARGUMENTS` with a wide terminal, so that tables are not folded."""
    return subprocess.run(
        [sys.executable, "-m", "vitrine.cli.app", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def test_search_prints_a_table_and_writes_the_sheet(gateway: RunningGateway, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    query = "a floral top for the sheet"  # asked nowhere else: a query that is kept needs no embedding
    done = vitrine("search", query, "--url", gateway.url, "--limit", 7, "--plot", sheet)
    assert done.returncode == 0, done.stderr
    for hit in gateway.ids(query, limit=7):
        assert hit in done.stdout
    assert "embed" in done.stdout
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"


def test_search_by_picture_finds_the_picture(gateway: RunningGateway, shop: Path) -> None:
    picture = min(shop.rglob("*.jpg"))
    done = vitrine("search", "--image", picture, "--url", gateway.url, "--json")
    assert done.returncode == 0, done.stderr
    best = json.loads(done.stdout)["hits"][0]
    assert best["score"] > 0.999


def test_search_like_a_product_leaves_that_product_out(gateway: RunningGateway) -> None:
    (known,) = gateway.ids("floral top", limit=1)
    done = vitrine("search", "--like", known, "--url", gateway.url, "--json")
    assert done.returncode == 0, done.stderr
    assert known not in [hit["id"] for hit in json.loads(done.stdout)["hits"]]


def test_a_search_is_narrowed_grouped_and_counted(gateway: RunningGateway) -> None:
    options = ("--filter", "colour_group_name IN (Red, Blue)", "--group-by", "colour_group_name")
    done = vitrine("search", "dress", *options, "--facet", "colour_group_name", "--url", gateway.url)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert len(rows) == 2
    assert all("│       19 │" in row for row in rows)
    assert "colour_group_name in the best 40: Blue 20, Red 20" in done.stdout


def test_pages_follow_each_other(gateway: RunningGateway) -> None:
    ranking = gateway.ids("floral top", limit=9)
    first = vitrine("search", "floral top", "--limit", 3, "--json", VITRINE_URL=gateway.url)
    assert first.returncode == 0, first.stderr
    by_page = vitrine("search", "floral top", "--limit", 3, "--page", 2, "--json", VITRINE_URL=gateway.url)
    cursor = json.loads(first.stdout)["next_cursor"]
    by_cursor = vitrine("search", "floral top", "--limit", 6, "--cursor", cursor, "--json", VITRINE_URL=gateway.url)
    found = [[hit["id"] for hit in json.loads(done.stdout)["hits"]] for done in (first, by_page, by_cursor)]
    assert found == [ranking[:3], ranking[3:6], ranking[3:9]]


def test_what_is_led_away_from_counts(gateway: RunningGateway) -> None:
    plain = vitrine("search", "floral top", "--url", gateway.url, "--json", "--limit", 60)
    less = vitrine("search", "floral top", "--minus", "red", "--url", gateway.url, "--json", "--limit", 60)
    assert less.returncode == 0, less.stderr
    scores = [{hit["id"]: hit["score"] for hit in json.loads(done.stdout)["hits"]} for done in (plain, less)]
    assert scores[0].keys() == scores[1].keys()
    assert scores[0] != scores[1]


def test_a_filter_that_is_none_is_refused_with_one_line(gateway: RunningGateway) -> None:
    done = vitrine("search", "x", "--filter", "colour_group_name:", "--url", gateway.url)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("filter_invalid: ")


def test_the_key_of_the_environment_opens_a_gateway(open_gateway: OpenGateway, shop: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made = vitrine("key", "create", "--id", "cli", "--scope", "search", "--collection", "products", "--file", keys)
    assert made.returncode == 0, made.stderr
    gateway = open_gateway({"VITRINE_AUTH__MODE": "on", "VITRINE_AUTH__KEYS_FILE": str(keys)})
    refused = vitrine("search", "top", VITRINE_URL=gateway.url)
    assert (refused.returncode, refused.stderr.partition(":")[0]) == (1, "unauthenticated")
    done = vitrine(
        "search", "top", "--plot", tmp_path / "sheet.png", VITRINE_URL=gateway.url, VITRINE_API_KEY=made.stdout.strip()
    )
    assert done.returncode == 0, done.stderr
    assert made.stdout.strip() not in refused.stderr + done.stdout + done.stderr


def test_no_query_is_refused_with_one_line(gateway: RunningGateway) -> None:
    done = vitrine("search", "--url", gateway.url)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("invalid_input: Say what to look for")


def test_a_refusal_of_the_gateway_keeps_its_code(gateway: RunningGateway) -> None:
    done = vitrine("search", "x", "--url", gateway.url, "--collection", "absent")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("collection_not_found: ")


def test_a_gateway_that_is_not_there_is_said_in_one_line() -> None:
    done = vitrine("search", "x", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("gateway_unreachable: The gateway at http://127.0.0.1:9 does not answer")


def test_a_misspelt_setting_is_said_in_one_line() -> None:
    done = vitrine("status", VITRINE_LOCAL__STATE_DIRECTORY="x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "VITRINE_LOCAL__STATE_DIRECTORY" in done.stderr
