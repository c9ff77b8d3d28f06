"""`python -m vitrine.indexer`: the batch process alone, for a container."""

import sys

import typer
from rich.console import Console

from vitrine.errors import InvalidInput, VitrineError
from vitrine.indexer.commands import register


def main() -> None:
    """Runs a verb; an expected failure is one sentence on standard error and an exit status."""
    app = typer.Typer(
        name="vitrine-indexer",
        help="Fills Milvus from a catalogue.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    register(app)
    try:
        app()
    except VitrineError as error:
        Console(stderr=True, soft_wrap=True).print(f"{error.code}: {error.message}", highlight=False, markup=False)
        sys.exit(2 if isinstance(error, InvalidInput) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
