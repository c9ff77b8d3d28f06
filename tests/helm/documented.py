"""The commands and manifests of the documents that an operator follows."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.helm.rendering import ROOT

DOCUMENTS: Final = tuple(
    path.relative_to(ROOT)
    for path in (
        ROOT / "docs" / "kubernetes.md",
        *(ROOT / "docs" / "runbooks" / f"{name}.md" for name in ("indexing", "promote", "rollback", "upgrade")),
    )
)
PROGRAMS: Final = ("vitrine", "kubectl", "helm", "make", "python", "run")
# What the runbooks say for `kubectl -n vitrine exec deployment/vitrine-gateway --`.
ALIAS: Final = "run"
LEFT_OUT: Final = "..."


@dataclass(frozen=True)
class Command:
    """One command as written, without comments, redirections and what it is piped to."""

    document: Path
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0]

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out of it."""
        return LEFT_OUT not in self.words

    def __str__(self) -> str:
        return f"{self.document.stem}: {shlex.join(self.words)}"


@cache
def blocks(document: Path) -> tuple[str, ...]:
    """The indented blocks of a document, without their indentation."""
    found: list[list[str]] = [[]]
    previous = ""
    for line in (ROOT / document).read_text().splitlines():
        inside = bool(found[-1]) and (line.startswith("    ") or not line)
        if inside or (line.startswith("    ") and not previous):
            found[-1].append(line)
        elif found[-1]:
            found.append([])
        previous = line
    return tuple(textwrap.dedent("\n".join(block)).strip() for block in found if block)


def scripts(document: Path) -> Iterator[str]:
    """Those of them that are for a shell."""
    return (
        block
        for block in blocks(document)
        if block.split()[0].strip('"') not in {"apiVersion:", "externalS3:", "loadtest:", "rules:"}
    )


def manifests(document: Path) -> Iterator[dict[str, Any]]:
    """Kubernetes objects: whole blocks, and what a command is fed with."""
    for block in blocks(document):
        fed = re.findall(r"<<'EOF'\n(.*?)\nEOF$", block, re.DOTALL | re.MULTILINE)
        for text in [block] if block.startswith("apiVersion:") else fed:
            yield from (one for one in yaml.safe_load_all(text) if one)


@cache
def commands() -> tuple[Command, ...]:
    """All commands of all documents, those within sentences included."""
    found: dict[tuple[Path, tuple[str, ...]], None] = {}
    for document in DOCUMENTS:
        for text in (*scripts(document), *_inline(document)):
            for words in _commands_of(text):
                found[document, words] = None
    return tuple(Command(document, words) for document, words in found)


def _inline(document: Path) -> Iterator[str]:
    text = (ROOT / document).read_text()
    for span in re.findall(r"`([^`]+)`", text):
        one = " ".join(span.split())
        if one.split()[0] in PROGRAMS and " " in one:
            yield one


def _commands_of(text: str) -> Iterator[tuple[str, ...]]:
    without_input = re.sub(r"<<'EOF'\n.*?\nEOF$", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in without_input.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for token in [*lexer, ";"]:
            if set(token) <= set("|&;()<>"):
                if words and words[0] in PROGRAMS:
                    yield tuple(words)
                words = []
            else:
                words.append(token)


def of_program(name: str) -> list[Command]:
    """The commands of one program, as a pod runs them where a command says so."""
    found = []
    for one in commands():
        words = one.words
        if name == "vitrine" and words[0] in {"kubectl", ALIAS} and "vitrine" in words:
            inner = words[words.index("--") + 1 :] if "--" in words else words[1:]
            if inner and inner[0] == "vitrine":
                found.append(Command(one.document, inner))
        elif words[0] == name:
            found.append(one)
    return found
