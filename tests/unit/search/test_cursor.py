import base64
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.search.memory import INFO
from vitrine.errors import CursorExpired, CursorInvalid, SettingsInvalid
from vitrine.search.cursor import MAX_CURSOR_CHARS, Cursors, Position
from vitrine.search.request import ImagePart, ItemPart, SearchRequest, TextPart
from vitrine.settings import SearchSettings
from vitrine.vectorstore.filters import All, Eq, Lt

KEY = b"0123456789abcdef0123456789abcdef"
REQUEST = SearchRequest(
    "shop",
    (TextPart("red"), ImagePart(b"jpeg", 0.5), ItemPart("0108775015", -1.0)),
    20,
    params={"ef": 64},
    filter=All((Eq("colour", "red"), Lt("price", 50.0))),
    min_score=0.1,
    relative_cut=0.5,
    group_by="group",
    audience="somebody",
)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cursors(clock: Clock) -> Cursors:
    return Cursors(KEY, 60, clock)


def position(cursors: Cursors, request: SearchRequest = REQUEST, given: int = 3) -> Position:
    digest = cursors.digest(request)
    marks = frozenset(cursors.mark(digest, f"i{number:010d}") for number in range(given))
    return Position("shop_v1", cursors.build(INFO), digest, 0.3125, 70, marks)


@pytest.mark.parametrize("given", [0, 1, 20, 1_000])
def test_a_cursor_is_read_back_as_it_was_written(cursors: Cursors, given: int) -> None:
    wanted = position(cursors, given=given)
    assert cursors.read(cursors.write(wanted), wanted.request) == wanted


@given(name=st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,199}", fullmatch=True), rows=st.integers(0, 65_535))
def test_every_name_a_collection_can_have_fits(name: str, rows: int) -> None:
    cursors = Cursors(KEY, 60)
    wanted = replace(position(cursors), collection=name, rows=rows)
    assert cursors.read(cursors.write(wanted), wanted.request) == wanted


def test_a_cursor_is_url_safe_and_grows_by_eight_characters_a_hit(cursors: Cursors) -> None:
    empty, full = (cursors.write(position(cursors, given=given)) for given in (0, 100))
    assert set(empty + full) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert (len(empty), len(full) - len(empty)) == (79, 800)
    longest = replace(position(cursors, given=8_192), collection="x" * 200)
    assert len(cursors.write(longest)) <= MAX_CURSOR_CHARS


def test_every_changed_character_is_noticed(cursors: Cursors) -> None:
    wanted = position(cursors)
    cursor = cursors.write(wanted)
    for at, character in enumerate(cursor):
        altered = cursor[:at] + ("A" if character != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(CursorInvalid):
            cursors.read(altered, wanted.request)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda cursor: "",
        lambda cursor: cursor[:-8],
        lambda cursor: cursor + "AAAAAAAA",
        lambda cursor: cursor + "=",
        lambda cursor: cursor + " ",
        lambda cursor: f"{cursor[:5]}\n{cursor[5:]}",
        lambda cursor: cursor[:5] + "é" + cursor[6:],
        lambda cursor: cursor[:5] + "\ud800" + cursor[6:],
        lambda cursor: base64.b64encode(b"?" * 76).decode(),
        lambda cursor: "A" * (MAX_CURSOR_CHARS + 1),
    ],
)
def test_what_is_no_cursor_is_refused(cursors: Cursors, spoil: Any) -> None:
    wanted = position(cursors)
    with pytest.raises(CursorInvalid):
        cursors.read(spoil(cursors.write(wanted)), wanted.request)


@given(st.text(max_size=300))
def test_no_text_breaks_the_reading(text: str) -> None:
    with pytest.raises(CursorInvalid):
        Cursors(KEY, 60).read(text, b"0" * 16)


def test_two_spellings_of_the_same_bytes_are_not_both_accepted(cursors: Cursors) -> None:
    wanted = position(cursors, given=1)
    cursor = cursors.write(wanted)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    padded = cursor + "=" * (-len(cursor) % 4)
    spellings = [cursor[:-1] + last for last in alphabet]
    same = [one for one in spellings if base64.urlsafe_b64decode(one + padded[len(cursor) :]) == _raw(cursor)]
    assert len(same) > 1, "this length has one spelling only; the test needs another"
    accepted = []
    for one in same:
        try:
            cursors.read(one, wanted.request)
        except CursorInvalid:
            continue
        accepted.append(one)
    assert accepted == [cursor]


def _raw(cursor: str) -> bytes:
    return base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))


def test_another_key_does_not_read_it(cursors: Cursors, clock: Clock) -> None:
    wanted = position(cursors)
    with pytest.raises(CursorInvalid):
        Cursors(KEY[::-1], 60, clock).read(cursors.write(wanted), wanted.request)


@pytest.mark.parametrize(
    "change",
    [
        {"collection": "shop_v1"},
        {"parts": REQUEST.parts[:2]},
        {"parts": (TextPart("red", 2.0), *REQUEST.parts[1:])},
        {"parts": (REQUEST.parts[0], ImagePart(b"jpeG", 0.5), REQUEST.parts[2])},
        {"parts": (ItemPart("red"), *REQUEST.parts[1:])},
        {"params": {"ef": 65}},
        {"filter": Eq("colour", "red")},
        {"filter": None},
        {"min_score": None},
        {"relative_cut": 0.6},
        {"group_by": None},
        {"audience": "somebody else"},
    ],
)
def test_a_cursor_belongs_to_one_request_of_one_caller(cursors: Cursors, change: dict[str, Any]) -> None:
    cursor = cursors.write(position(cursors))
    with pytest.raises(CursorInvalid, match="another search"):
        cursors.read(cursor, cursors.digest(replace(REQUEST, **change)))


@pytest.mark.parametrize(
    "change",
    [{"limit": 5}, {"cursor": "x"}, {"paged": True}, {"facets": ("colour",)}, {"with_vectors": True}],
)
def test_what_does_not_change_the_walk_may_change(cursors: Cursors, change: dict[str, Any]) -> None:
    assert cursors.digest(replace(REQUEST, **change)) == cursors.digest(REQUEST)


def test_a_cursor_has_an_end(cursors: Cursors, clock: Clock) -> None:
    wanted = position(cursors)
    cursor = cursors.write(wanted)
    clock.now += 60
    cursors.read(cursor, wanted.request)
    clock.now += 1
    with pytest.raises(CursorExpired) as caught:
        cursors.read(cursor, wanted.request)
    assert caught.value.details == {"seconds": 60}


def test_a_cursor_tells_nothing_of_the_query_or_the_hits(cursors: Cursors) -> None:
    raw = _raw(cursors.write(position(cursors)))
    for secret in (b"red", b"colour", b"somebody", b"0108775015", b"0000000001", INFO.build_id.encode() * 4, KEY):
        assert secret not in raw
    other = cursors.digest(replace(REQUEST, audience="another"))
    assert cursors.mark(other, "i1") != cursors.mark(cursors.digest(REQUEST), "i1")


def test_collections_of_one_name_are_told_apart(cursors: Cursors) -> None:
    assert cursors.build(INFO) != cursors.build(replace(INFO, build_id="b2"))


def test_replicas_with_one_key_understand_each_other_and_without_they_do_not() -> None:
    keyed = [Cursors.of(SearchSettings.model_validate({"cursor_key": "k" * 32})) for _ in range(2)]
    wanted = position(keyed[0])
    assert keyed[1].read(keyed[0].write(wanted), keyed[1].digest(REQUEST)) == wanted
    alone = [Cursors.of(SearchSettings()) for _ in range(2)]
    wanted = position(alone[0])
    with pytest.raises(CursorInvalid):
        alone[1].read(alone[0].write(wanted), wanted.request)


def test_a_key_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="16 bytes"):
        Cursors.of(SearchSettings.model_validate({"cursor_key": "secret"}))
