"""The command line as a person meets it: a process of its own, its output, its exit status."""

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

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
    done = vitrine("search", "floral top", "--url", gateway.url, "--limit", 7, "--plot", sheet)
    assert done.returncode == 0, done.stderr
    for hit in gateway.ids("floral top", limit=7):
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
