"""`vitrine key create | list | revoke`: who may call the API."""

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vitrine.cli.key_file import KeyFile
from vitrine.errors import InvalidInput
from vitrine.gateway.auth.keys import KEY_ID_PATTERN, MAX_PER_SECOND, ApiKey, KeyRate, digest_of, new_key
from vitrine.gateway.auth.principal import Scope
from vitrine.settings import read_settings

_BURST_S: Final = 2.0

FileOption = Annotated[
    Path | None,
    typer.Option("--file", help="The file of keys; by default VITRINE_AUTH__KEYS_FILE.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Adds `key`."""
    verbs = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
    verbs.command("create")(create)
    verbs.command("list")(list_keys)
    verbs.command("revoke")(revoke)
    app.add_typer(verbs, name="key")


def create(
    key_id: Annotated[str, typer.Option("--id", help="Names the key in logs: lower-case letters, digits, hyphens.")],
    scope: Annotated[list[Scope], typer.Option(help="What it may do; repeat for several.")],
    collection: Annotated[list[str] | None, typer.Option(help="Alias or name it may use; repeat for several.")] = None,
    all_collections: Annotated[bool, typer.Option("--all-collections", help="It may use every collection.")] = False,
    rate: Annotated[float | None, typer.Option(help="Requests a second; without it any number.")] = None,
    burst: Annotated[int | None, typer.Option(help="Requests at once; by default those of 2 s.")] = None,
    not_after: Annotated[
        str, typer.Option(help="Refused from then on: a date, a time with its zone, or days such as 90d.")
    ] = "",
    note: Annotated[str, typer.Option(help="For people: whose it is, what for.")] = "",
    file: FileOption = None,
) -> None:
    """Make a key. It is printed once, alone on standard output; the file keeps its hash."""
    if bool(collection) == all_collections:
        raise InvalidInput("Say which collections the key may use: --collection NAME or --all-collections.")
    if burst is not None and rate is None:
        raise InvalidInput("A --burst needs a --rate.")
    if not re.fullmatch(KEY_ID_PATTERN, key_id):
        raise InvalidInput("An --id has lower-case letters and digits, with hyphens between them, 63 at most.")
    secret = new_key(key_id)
    try:
        key = ApiKey(
            id=key_id,
            sha256=digest_of(secret).hex(),
            scopes=frozenset(scope),
            collections="*" if all_collections else frozenset(collection or ()),
            rate=None if rate is None else _rate(rate, burst),
            not_after=_moment(not_after) if not_after else None,
            note=note,
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InvalidInput(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}.") from None
    path = _path(file)
    KeyFile(path).add(key)
    sys.stdout.write(f"{secret}\n")
    _say(f"Added to {path}. The key is not kept anywhere: store it now.")


def list_keys(file: FileOption = None) -> None:
    """Show the keys there are, without their hashes."""
    table = Table(title_justify="left")
    for heading in ("id", "scopes", "collections", "rate", "not after", "note"):
        table.add_column(heading, overflow="fold")
    for key in KeyFile(_path(file)).read():
        table.add_row(
            key.id,
            " ".join(sorted(key.scopes)),
            "all" if isinstance(key.collections, str) else " ".join(sorted(key.collections)),
            "" if key.rate is None else f"{key.rate.per_second:g}/s, {key.rate.burst} at once",
            _end(key.not_after),
            escape(key.note),
        )
    Console().print(table)


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key to remove.")], file: FileOption = None
) -> None:
    """Remove a key; gateways that read this file refuse it within two seconds."""
    path = _path(file)
    KeyFile(path).revoke(key_id)
    _say(f"Revoked {key_id} in {path}.")


def _path(file: Path | None) -> Path:
    path = file or read_settings().auth.keys_file
    if path is None:
        raise InvalidInput("Say where the keys are: --file FILE or VITRINE_AUTH__KEYS_FILE.")
    return path


def _rate(per_second: float, burst: int | None) -> KeyRate:
    if not 0 < per_second <= MAX_PER_SECOND:
        raise InvalidInput(f"--rate must be above 0 and at most {MAX_PER_SECOND} requests a second.")
    return KeyRate(per_second=per_second, burst=max(1, round(per_second * _BURST_S)) if burst is None else burst)


def _moment(text: str) -> datetime:
    """A moment in the future: `2027-01-31` (its first second, UTC), an ISO 8601 time with a zone, or `90d` from now."""
    try:
        if text.endswith("d"):
            moment = datetime.now(UTC).replace(microsecond=0) + timedelta(days=int(text[:-1]))
        else:
            moment = datetime.fromisoformat(text)
            if len(text) == len("2027-01-31"):
                moment = moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"--not-after {text!r} is no date, time or number of days.") from None
    if moment.tzinfo is None:
        raise InvalidInput(f"--not-after {text!r} needs a time zone, such as Z.")
    if moment <= datetime.now(UTC):
        raise InvalidInput(f"--not-after {text!r} is over already.")
    return moment


def _end(moment: datetime | None) -> str:
    if moment is None:
        return ""
    shown = moment.astimezone(UTC).isoformat(timespec="minutes")
    return f"{shown} (over)" if moment <= datetime.now(UTC) else shown


def _say(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(sentence, markup=False, highlight=False)
