"""The rules as they are deployed, read once for the tests that ask about them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
MONITORING: Final = ROOT / "helm" / "vitrine" / "monitoring"
RUNBOOKS: Final = ROOT / "docs" / "runbooks" / "alerts"
TESTS: Final = Path(__file__).parent / "rules"
ALERT_FILES: Final = sorted((MONITORING / "alerts").glob("*.yaml"))
RECORDING_FILES: Final = sorted((MONITORING / "recording").glob("*.yaml"))
ALERTS: Final = [path.stem for path in ALERT_FILES]

_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACES: Final = re.compile(r"\{[^{}]*\}")
_GROUPING: Final = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAME: Final = re.compile(r"\b[a-zA-Z_][a-zA-Z0-9_:]*\b(?!\s*\()")
_WORDS: Final = {"and", "or", "unless", "offset", "bool", "by", "on", "e9", "inf", "nan"}


@dataclass(frozen=True)
class Rule:
    """One rule and the file it stands in."""

    file: Path
    content: dict[str, Any]

    @property
    def expression(self) -> str:
        return str(self.content["expr"])

    @property
    def name(self) -> str:
        return str(self.content.get("alert") or self.content["record"])


def rules_of(*files: Path) -> Iterator[Rule]:
    """Every rule of some files."""
    for path in files:
        for group in yaml.safe_load(path.read_text())["groups"]:
            for content in group["rules"]:
                yield Rule(path, content)


def names_in(expression: str) -> set[str]:
    """Names of the series that an expression reads; not its functions, labels and words."""
    bare = _BRACES.sub("", _STRINGS.sub('""', expression))
    bare = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub("", bare))
    return {name for name in _NAME.findall(bare) if name not in _WORDS}
