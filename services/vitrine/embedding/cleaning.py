"""What happens to a text before it is split into tokens: OpenAI's cleaning rules for CLIP, with bounded work."""

import html
import unicodedata

import ftfy
import ftfy.fixes

_MAX_REPAIR_PASSES = 12
"""ftfy repeats its fixes until nothing changes, one level of `&amp;amp;amp;...` a pass: 120 ms for 8 KB. No text that a
person wrote needs more than a few passes."""

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that are blank by design; the other blanks are known by their category."""


def clean(text: str) -> str:
    """Repairs encodings, resolves HTML entities (twice), collapses white space, lowers case.

    Printable ASCII without `&` skips the repair: every fix of ftfy needs a character outside it, and no entity can
    occur. That is 1 us instead of 16 us for the most common queries.
    """
    if not (text.isascii() and text.isprintable() and "&" not in text):
        text = _unescape(_unescape(_repair(text)))
    return " ".join(text.split()).lower()


def has_visible_character(text: str) -> bool:
    """Whether anything in a text would leave a mark on paper: no blanks, controls, zero-width or filler characters."""
    return any(map(_is_visible, text))


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    # Z: separators; C: controls, format characters, unassigned. Private use (Co) may well have a glyph.
    blank = category[0] in "ZC" and category != "Co"
    return not (blank or character in _INVISIBLE or _is_variation_selector(character))


def _is_variation_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:
        # A character reference with more digits than Python converts (sys.get_int_max_str_digits): no such character.
        return text


def _repair(text: str) -> str:
    """`ftfy.fix_text` with a bound on its passes: the same fixes in the same order, line by line.

    Like ftfy, entities are left alone from the first line on that contains `<`: that text may be HTML on purpose.
    """
    lines = []
    unescape_html = True
    for line in text.split("\n"):
        unescape_html = unescape_html and "<" not in line
        lines.append(_repair_line(line, unescape_html=unescape_html))
    return "\n".join(lines)


def _repair_line(line: str, *, unescape_html: bool) -> str:
    fixes = ftfy.fixes
    for _ in range(_MAX_REPAIR_PASSES):
        before = line
        if unescape_html:
            line = fixes.unescape_html(line)
        line = ftfy.fix_encoding(line)
        line = fixes.fix_c1_controls(line)
        line = fixes.fix_latin_ligatures(line)
        line = fixes.fix_character_width(line)
        line = fixes.uncurl_quotes(line)
        line = fixes.fix_line_breaks(line)
        line = fixes.fix_surrogates(line)
        line = fixes.remove_terminal_escapes(line)
        line = fixes.remove_control_chars(line)
        line = unicodedata.normalize("NFC", line)
        if line == before:
            break
    return line
