"""The command line: `vitrine VERB`. Each package brings its own verbs; this one puts them together."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from vitrine.cli import demo, keys, search
from vitrine.demo import commands_evaluate
from vitrine.errors import InvalidInput, VitrineError
from vitrine.indexer import commands as indexing
from vitrine.local import commands as stack
from vitrine.models import commands as models
from vitrine.promotion import commands as promotion
from vitrine.tuning import commands_plan, commands_recall, commands_tune

EXIT_FAILED = 1
EXIT_INVALID_INPUT = 2


def build_app() -> typer.Typer:
    """Every verb of the product under one name."""
    app = typer.Typer(
        name="vitrine",
        help="Text-to-image product search on Triton and Milvus.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for package in (
        *(demo, search, keys, stack, indexing, models, promotion),
        *(commands_evaluate, commands_plan, commands_recall, commands_tune),
    ):
        package.register(app)
    return app


def main() -> None:
    """Runs the command line; an expected failure is one sentence on stderr and an exit status, not a trace."""
    try:
        build_app()()
    except VitrineError as error:
        told = f"[bold red]{error.code}[/]: {escape(error.message)}"
        Console(stderr=True, soft_wrap=True).print(told, highlight=False)
        sys.exit(EXIT_INVALID_INPUT if isinstance(error, InvalidInput) else EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
