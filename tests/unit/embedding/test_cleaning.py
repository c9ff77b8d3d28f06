"""Cleaning equals ftfy and html by the book, takes the short way only where that is the same, and is bounded."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrine.embedding.cleaning import clean, has_visible_character

MARKUP = st.lists(
    st.sampled_from(["&", "amp;", "#38;", "lt;", "eacute;", "<", ">", "\n", "\r", " ", "e", "\u00c3\u00a9", "\uff06"])
).map("".join)


@given(st.text(st.sampled_from(string.printable + "\x00\x1b\x7f\x08"), max_size=60))
@settings(deadline=None)
def test_ascii_is_cleaned_as_by_the_book(openai_rules, text):
    assert clean(text) == openai_rules.cleaned(text)


@given(MARKUP | st.text(st.characters(exclude_categories=["Cn"]), max_size=60))
@settings(deadline=None, max_examples=300)
def test_any_text_is_cleaned_as_by_the_book(openai_rules, text):
    assert clean(text) == openai_rules.cleaned(text)


@pytest.mark.parametrize(
    "text",
    [
        "caf\u00c3\u00a9 &amp;amp; <b>\n&eacute;",
        "\ud83d\udc57 \ud800",
        "\u00c3\u0192\u00c2\u00a9",
        "\x1b[31mred",
        "1\x1c2\x0b3\x0c4\x855\u20286",
        "\uff21\uff22 \ufb01 \u201cx\u201d",
    ],
)
def test_awkward_texts_are_cleaned_as_by_the_book(openai_rules, text):
    assert clean(text) == openai_rules.cleaned(text)


def test_repair_stops_after_twelve_passes():
    """ftfy alone would make 2,000 passes over this; twelve passes and two resolutions of entities are all it gets."""
    assert clean("&" + "amp;" * 2000) == "&" + "amp;" * (2000 - 12 - 2)


def test_a_character_reference_too_long_for_a_number_is_left_alone():
    text = "<&#" + "9" * 6000 + ";"
    assert clean(text) == text


@pytest.mark.parametrize("text", ["a", "7", "!", "\u8d64", "\U0001f457", "\u0301", "\ue000", " \u200b a"])
def test_visible(text):
    assert has_visible_character(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t\r\n", "\u00a0\u2003", "\u200b\u200d\ufeff", "\u2800", "\u3164", "\ufe0f", "\x00\x07", "\U000e0101"],
)
def test_invisible(text):
    assert not has_visible_character(text)
