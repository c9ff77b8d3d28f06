"""What Helm says after an installation: commands about objects that there are."""

import re

import pytest

from tests.helm.rendering import CHART, EXAMPLES, LOAD_ALONE, RELEASE, Rendered, helm, render


def _notes(example: str, *more: str) -> str:
    values = f"--values={CHART / 'examples' / f'{example}.yaml'}"
    said = helm("install", RELEASE, str(CHART), "--namespace=shop", values, "--dry-run=client", *more)
    return said.partition("\nNOTES:\n")[2]


def _named(notes: str) -> set[tuple[str, str]]:
    """(kind, name) of every KIND/NAME in a command."""
    return set(re.findall(r"\b(job|deployment|service)/([a-z0-9-]+)", notes))


def _made(rendered: Rendered) -> set[tuple[str, str]]:
    return {(one["kind"].lower(), one["metadata"]["name"]) for one in rendered.objects}


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_next_steps_name_what_the_release_made(example: str) -> None:
    named = _named(_notes(example))
    assert {kind for kind, _ in named} >= {"deployment", "service"}
    assert named <= _made(render(example))


def test_a_load_test_is_followed_by_its_log() -> None:
    jobs = {name for kind, name in _named(_notes("minimal", *LOAD_ALONE)) if kind == "job"}
    assert jobs == {one["metadata"]["name"] for one in render("minimal", *LOAD_ALONE).of("Job")}


def test_nobody_is_let_in_unasked_without_a_word() -> None:
    assert "whoever reaches the gateway may search, write and delete" in _notes("dev")
    assert "whoever reaches the gateway" not in _notes("minimal")


def test_traces_that_no_policy_lets_out_are_told() -> None:
    endpoint = "--set=settings.telemetry.otlp_endpoint=http://collector:4318/v1/traces"
    said = " ".join(_notes("dev", endpoint).split())
    for name in ("the gateway", "the indexer", "Triton"):
        assert f"{name} cannot reach http://collector:4318/v1/traces" in said
    assert "cannot reach" not in _notes("production-gpu")
