import json
import re
from datetime import UTC, datetime

import pytest

from vitrine.errors import SettingsInvalid
from vitrine.gateway.auth.keys import ApiKey, KeyRate, digest_of, id_of, new_key, parse_keys, render_keys
from vitrine.gateway.auth.principal import Rate, Scope

DIGEST = "0" * 64


def _file(**changes: object) -> bytes:
    key = {"id": "shop", "sha256": DIGEST, "scopes": ["search"], "collections": ["products"], **changes}
    return json.dumps({"keys": [key]}).encode()


def test_a_key_names_itself_and_is_found_by_scanners() -> None:
    key = new_key("shop-2")
    assert re.fullmatch(r"vitrine_shop-2_[0-9A-Za-z]{43}", key)
    assert id_of(key) == "shop-2"


def test_keys_are_random_in_every_digit() -> None:
    keys = {new_key("a") for _ in range(200)}
    assert len(keys) == 200
    digits = [{key[-43 + place] for key in keys} for place in range(43)]
    # The first digit of 256 bits in base 62 has fewer values than the others: 2**256 is 0.97 times 62**43.
    assert min(len(values) for values in digits) > 30


@pytest.mark.parametrize(
    "text",
    [
        "",
        "vitrine_",
        "vitrine_shop",
        "vitrine_shop_short",
        "vitrine__" + "a" * 43,
        "shop_" + "a" * 43,
        "vitrine_shop_" + "a" * 44,
        "vitrine_Shop_" + "a" * 43,
        "vitrine_shop_" + "a" * 43 + "\n",
        "ü" * 60,
    ],
)
def test_what_is_no_key_names_no_id(text: str) -> None:
    assert id_of(text) is None


def test_a_file_reads_as_it_was_written() -> None:
    keys = (
        ApiKey(
            id="shop",
            sha256=digest_of(new_key("shop")).hex(),
            scopes=frozenset({Scope.SEARCH, Scope.WRITE}),
            collections=frozenset({"products"}),
            rate=KeyRate(per_second=2.5, burst=5),
            not_after=datetime(2027, 1, 1, tzinfo=UTC),
            note="the shop's own",
        ),
        ApiKey(id="ops", sha256=DIGEST, scopes=frozenset({Scope.ADMIN}), collections="*"),
    )
    assert parse_keys(render_keys(keys)) == keys
    shop, ops = (key.principal() for key in keys)
    assert (shop.id, shop.collections, shop.rate) == ("key:shop", frozenset({"products"}), Rate(2.5, 5))
    assert (ops.id, ops.collections, ops.rate) == ("key:ops", None, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no valid JSON"),
        (b"[]", "the document"),
        (b"{}", "keys"),
        (_file(sha256="abc"), "keys.0.sha256"),
        (_file(scopes=["everything"]), "keys.0.scopes"),
        (_file(scope=["search"]), "keys.0.scope"),
        (_file(collections="products"), "keys.0.collections"),
        (_file(collections=None), "keys.0.collections"),
        (_file(rate={"per_second": 0, "burst": 1}), "keys.0.rate.per_second"),
        (_file(rate={"per_second": 1}), "keys.0.rate.burst"),
        (_file(not_after="2027-01-01T00:00:00"), "keys.0.not_after"),
        (json.dumps({"keys": [json.loads(_file())["keys"][0]] * 2}).encode(), "'shop' is there twice"),
    ],
)
def test_a_file_that_says_something_else_is_refused_whole(content: bytes, told: str) -> None:
    with pytest.raises(SettingsInvalid, match=re.escape(told)):
        parse_keys(content)


def test_what_is_told_of_a_broken_file_quotes_no_value_of_it() -> None:
    secret = new_key("shop")
    with pytest.raises(SettingsInvalid) as caught:
        parse_keys(_file(sha256=secret))
    assert secret not in str(caught.value)
    assert caught.value.__suppress_context__
