import pytest
import typer
from typer.testing import CliRunner

from vitrine.errors import InvalidInput
from vitrine.promotion import commands
from vitrine.promotion.commands import register


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    register(app)
    return app


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "1st"], "'1st' is no name"),
        (["promote", "shop", "--min-recall", "95"], "--min-recall is a share"),
        (["promote", "shop", "--max-p99-ms", "-1"], "--max-p99-ms is a number"),
        (["rollback", "a-b"], "'a-b' is no name"),
    ],
)
def test_requests_that_make_no_sense_are_refused_before_anything_is_asked(
    app: typer.Typer, arguments: list[str], message: str
) -> None:
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, InvalidInput)
    assert message in error.message


@pytest.mark.parametrize("arguments", [["--keep", "0"], ["--keep", "-1"]])
def test_a_rollback_is_given_up_by_all_alone(app: typer.Typer, arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["retire", "shop", *arguments]).exit_code == 2


def test_nothing_is_dropped_where_nobody_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands.sys.stdin, "isatty", lambda: False, raising=False)
    with pytest.raises(InvalidInput, match="--yes"):
        commands._confirm(["shop_v1 (3 rows)"], yes=False)
    commands._confirm(["shop_v1 (3 rows)"], yes=True)
