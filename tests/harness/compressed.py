"""Rule files with time divided by a number: what takes five minutes in production takes five seconds in a test."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

_UNITS_MS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_PART: Final = r"(?:\d+(?:ms|[smhdwy]))"
_DURATION: Final = re.compile(rf"{_PART}+")
# A string is matched first, and left alone: a duration within quotes is somebody's label.
_IN_EXPRESSION: Final = re.compile(
    rf"""
    (?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | `[^`]*` )
  | (?P<range>  \[ \s* (?P<subject>[^\[\]:]*?) \s* \] )
  | (?P<offset> \boffset \s+ (?P<sign>-?) (?P<by>{_PART}+) )
  | (?P<other>  \[ [^\[\]]* : [^\[\]]* \] )
    """,
    re.VERBOSE,
)


class NotCompressible(ValueError):
    """A rule file says something about time that cannot be divided without changing what it means."""


def compressed_duration(text: str, factor: int) -> str:
    """A duration of Prometheus divided by `factor`, in milliseconds: `5m` by 60 is `5000ms`.

    Raises:
        NotCompressible: it is no duration, or nothing would be left of it.
    """
    if not _DURATION.fullmatch(text):
        raise NotCompressible(f"{text!r} is no duration.")
    whole_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))
    divided_ms = whole_ms // factor
    if whole_ms and not divided_ms:
        raise NotCompressible(f"{text} divided by {factor} is less than a millisecond.")
    return f"{divided_ms}ms"


def compressed_expression(expression: str, factor: int) -> str:
    """An expression whose ranges and offsets are divided by `factor`. Numbers, also of seconds, stay as they are.

    Raises:
        NotCompressible: it has a subquery: its resolution, where it is not written out, is the server's.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["other"] is not None:
            raise NotCompressible(f"A subquery is not compressed: {match['other']}")
        if match["range"] is not None:
            return f"[{compressed_duration(match['subject'], factor)}]"
        if match["offset"] is not None:
            return f"offset {match['sign']}{compressed_duration(match['by'], factor)}"
        return match["string"]

    return _IN_EXPRESSION.sub(replaced, expression)


def compressed_rules(rules: dict[str, Any], factor: int) -> dict[str, Any]:
    """A rule file's content with `interval`, `for`, `keep_firing_for`, ranges and offsets divided by `factor`.

    Names stay, so `rate5m` is then the rate of five seconds. So do thresholds: one that counts (`>= 5`) counts in the
    shorter window, and one in seconds (`> 900`) means real seconds.

    Args:
        rules: as read from YAML; it is not changed.
        factor: 1 or more.

    Raises:
        NotCompressible: see `compressed_expression`, `compressed_duration`.
    """
    return {"groups": [_group(group, factor) for group in rules["groups"]]}


def write_compressed(source: Path, target: Path, factor: int) -> list[Path]:
    """Compresses every rule file of a folder, and of the folders in it, into another one of the same shape.

    Returns:
        The files written, sorted.

    Raises:
        NotCompressible: the message begins with the file's name.
    """
    written = []
    for path in sorted(source.rglob("*.yaml")):
        try:
            content = compressed_rules(yaml.safe_load(path.read_text()), factor)
        except NotCompressible as error:
            raise NotCompressible(f"{path}: {error}") from error
        goal = target / path.relative_to(source)
        goal.parent.mkdir(parents=True, exist_ok=True)
        goal.write_text(yaml.safe_dump(content, sort_keys=False, width=1000))
        written.append(goal)
    return written


def _group(group: dict[str, Any], factor: int) -> dict[str, Any]:
    changed = dict(group)
    if "interval" in group:
        changed["interval"] = compressed_duration(group["interval"], factor)
    changed["rules"] = [dict(_fields(rule, factor)) for rule in group["rules"]]
    return changed


def _fields(rule: dict[str, Any], factor: int) -> Iterator[tuple[str, Any]]:
    for name, value in rule.items():
        if name == "expr":
            yield name, compressed_expression(str(value), factor)
        elif name in {"for", "keep_firing_for"}:
            yield name, compressed_duration(str(value), factor)
        else:
            yield name, value
