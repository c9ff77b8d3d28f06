"""What docs/kubernetes.md and the runbooks tell an operator to type is understood by the programs it is typed into."""

import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import typer
import yaml
from typer.core import TyperGroup
from typer.main import get_command

from tests.helm.documented import (
    DOCUMENTS,
    LEFT_OUT,
    Command,
    blocks,
    commands,
    manifests,
    of_program,
    scripts,
)
from tests.helm.rendering import CHART, NEWEST, ROOT, HelmFailed, Object, binary, helm, render
from vitrine.cli.app import build_app

DIGEST: Final = "registry.example/vitrine-models@sha256:" + "0f" * 32
KUBECTL_GROUPS: Final = {"create": 1, "rollout": 1, "secret": 1}
"""Verbs of kubectl that have verbs of their own."""


def _ids(command: Command) -> str:
    return str(command)


def test_every_program_is_met() -> None:
    """So that the tests below have something to look at."""
    assert {one.program for one in commands()} >= {"vitrine", "kubectl", "helm", "make", "python"}
    assert len(of_program("vitrine")) > 30
    assert sum(len(list(manifests(document))) for document in DOCUMENTS) >= 5


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_script_is_one_for_bash(document: Path) -> None:
    for script in scripts(document):
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=10)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_manifest_is_valid(document: Path) -> None:
    for one in manifests(document):
        if not one["apiVersion"].startswith("cert-manager.io/"):
            for version in ("1.30", NEWEST):
                kubernetes_validate.validate(one, version, strict=True)


def test_pods_of_the_documents_keep_to_the_level_of_the_namespace() -> None:
    pods = [one for document in DOCUMENTS for one in manifests(document) if one["kind"] == "Pod"]
    assert pods
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("command", of_program("vitrine"), ids=_ids)
def test_vitrine_takes_its_words(command: Command) -> None:
    words = [word for word in command.words[1:] if word != LEFT_OUT]
    found = _vitrine()
    while isinstance(found, TyperGroup) and words and words[0] in found.commands:
        found = found.commands[words.pop(0)]
    assert not (isinstance(found, TyperGroup) and words and not words[0].startswith("-")), words
    assert found is not _vitrine()
    # A number that the reader puts in.
    words = ["4" if word == "N" else word for word in words]
    try:
        found.make_context(found.name, words)
    except typer.BadParameter as error:
        # Something may be missing where words are left out, or where a sentence names the verb alone.
        if type(error).__name__ != "MissingParameter" or (command.is_whole and words):
            raise


@cache
def _vitrine() -> Any:
    return get_command(build_app())


@pytest.mark.parametrize("command", of_program("kubectl"), ids=_ids)
def test_kubectl_has_the_verb_and_its_options(command: Command) -> None:
    # What follows `--` is for the program in the pod.
    words = list(command.words[1 : command.words.index("--") if "--" in command.words else None])
    while words and words[0].startswith("-"):
        del words[: 1 if "=" in words[0] else 2]
    verb = [words[0]]
    if verb[0] in KUBECTL_GROUPS:
        verb.append(words[1])
        if words[1] in KUBECTL_GROUPS:
            verb.append(words[2])
    assert _options(command) <= _known("kubectl", *verb) | _known("kubectl", "options")


@pytest.mark.parametrize("command", of_program("helm"), ids=_ids)
def test_helm_has_the_verb_and_its_options(command: Command) -> None:
    verb = command.words[1:3] if command.words[1] == "repo" else command.words[1:2]
    assert _options(command) <= _known("helm", *verb)


def _options(command: Command) -> set[str]:
    words = command.words[: command.words.index("--") if "--" in command.words else None]
    return {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}


@cache
def _known(program: str, *verb: str) -> frozenset[str]:
    """The options that a verb's help lists.

    Raises:
        AssertionError: there is no such verb.
    """
    asked = [binary(program), *verb, *([] if verb == ("options",) else ["--help"])]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
    usage = " ".join(verb)
    assert verb == ("options",) or re.search(rf"{program} {usage}\b", done.stdout), f"{program} {usage}"
    return frozenset(re.findall(r"(?<![\w-])(--?[a-z][\w-]*)", done.stdout))


@pytest.mark.parametrize(
    "command",
    [one for one in of_program("kubectl") if "create" in one.words],
    ids=_ids,
)
def test_what_kubectl_would_create_is_valid(command: Command, tmp_path: Path) -> None:
    for name in ("keys.json", "ca.crt"):
        (tmp_path / name).write_text("{}")
    dry = [binary("kubectl"), *command.words[1:], "--dry-run=client", "--output=yaml"]
    done = subprocess.run(dry, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    kubernetes_validate.validate(yaml.safe_load(done.stdout), NEWEST, strict=True)


def test_what_is_patched_is_json() -> None:
    patches = [one.words[one.words.index("-p") + 1] for one in of_program("kubectl") if "-p" in one.words]
    assert len(patches) >= 3
    for patch in patches:
        assert isinstance(json.loads(patch), dict)


@pytest.mark.parametrize("command", of_program("make"), ids=_ids)
def test_make_has_the_target_and_knows_the_variables(command: Command) -> None:
    words = [word for word in command.words[1:] if word != LEFT_OUT]
    done = subprocess.run(
        ["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    text = (ROOT / "Makefile").read_text()
    for variable in (word.partition("=")[0] for word in words if "=" in word):
        assert f"$({variable})" in text, variable


@pytest.mark.parametrize("command", of_program("python"), ids=_ids)
def test_python_finds_the_script_and_the_script_its_options(command: Command) -> None:
    words = command.words[1:]
    path = f"{words[1].replace('.', '/')}.py" if words[0] == "-m" else words[0]
    script = (ROOT / path).read_text()
    for option in _options(command) - {"-m"}:
        assert f'"{option}"' in script


def _ours() -> list[Command]:
    return [one for one in of_program("helm") if "helm/vitrine" in one.words]


def _rendered(command: Command, *more: str) -> list[Object]:
    """What an `upgrade --install` of our chart would send, with the production example for the reader's own values."""
    words = [word for word in command.words[2:] if word not in {"--install", "--wait"}]
    if "--timeout" in words:
        place = words.index("--timeout")
        del words[place : place + 2]
    example = str(CHART / "examples" / "production-gpu.yaml")
    stand_ins = {
        "yours.yaml": example,
        "helm/vitrine": str(CHART),
        "models.image.reference=NEW": f"models.image.reference={DIGEST}",
    }
    text = helm("template", *(stand_ins.get(word, word) for word in words), f"--kube-version={NEWEST}.0", *more)
    return [one for one in yaml.safe_load_all(text) if one]


@pytest.mark.parametrize("command", _ours(), ids=_ids)
def test_our_chart_renders_as_documented(command: Command) -> None:
    assert {"Deployment", "Service", "Job"} <= {one["kind"] for one in _rendered(command)}


def test_the_second_release_of_a_model_upgrade_owns_nothing_that_the_first_owns() -> None:
    """Helm refuses to take over an object of another release, and an uninstall would take it from both."""
    (second,) = [one for one in _ours() if "vitrine-b" in one.words]
    first = min(_ours(), key=lambda one: len(one.words))
    secrets = ("--set=externalSecrets.storeRef.name=vault", "--set=externalSecrets.secrets.shared.key.key=shop/key")
    with_secrets = _rendered(first, "--set=externalSecrets.enabled=true", *secrets)
    assert any(one["kind"] == "ExternalSecret" for one in with_secrets)
    other = _rendered(Command(second.document, (*second.words[:5], *_values_first(second, *secrets))))
    names = [{(one["kind"], one["metadata"]["name"]) for one in objects} for objects in (with_secrets, other)]
    assert not names[0] & names[1]


def _values_first(command: Command, *secrets: str) -> Iterator[str]:
    """The rest of a command, after what its reader's values file would say about secrets."""
    yield from ("--set=externalSecrets.enabled=true", *secrets, *command.words[5:])


def test_objects_that_commands_name_are_made_by_the_releases() -> None:
    made = {f"{one['kind'].lower()}/{one['metadata']['name']}" for command in _ours() for one in _rendered(command)}
    named = {
        word for one in of_program("kubectl") for word in one.words if re.match(r"(deployment|service)/[a-z-]+$", word)
    }
    assert named
    assert named <= made


def test_values_that_the_documents_name_are_values_of_the_chart() -> None:
    values: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    seen = 0
    for document in DOCUMENTS:
        for path in re.findall(r"`([a-z]\w*(?:\.\w+)+)[:`]", (ROOT / document).read_text()):
            top, *rest = path.split(".")
            if top not in values or top in {"settings", "milvus"}:
                continue
            seen += 1
            value = values[top]
            for key in rest:
                assert key in value, f"{document}: {path}"
                value = value[key]
    assert seen > 5


def test_the_values_of_a_load_test_make_its_jobs(tmp_path: Path) -> None:
    (text,) = [text for text in blocks(DOCUMENTS[0]) if text.startswith("loadtest:")]
    (tmp_path / "load.yaml").write_text(text)
    pods = render("production-gpu", f"--values={tmp_path / 'load.yaml'}").pods_of("loadtest")
    assert [pod.owner["spec"].get("completions") for pod in pods] == [None, 3]


def test_the_adapter_serves_the_metrics_that_autoscalers_ask_for() -> None:
    (text,) = [text for text in blocks(DOCUMENTS[0]) if text.startswith("rules:")]
    served = {
        rule.get("name", {}).get("as", rule["seriesQuery"].partition("{")[0]): rule
        for rule in yaml.safe_load(text)["rules"]["custom"]
    }
    ratio = yaml.safe_load((CHART / "values.yaml").read_text())["triton"]["autoscaling"]["hpaMetric"]
    asked = {
        metric["pods"]["metric"]["name"]
        for one in render("everything").of("HorizontalPodAutoscaler")
        for metric in one["spec"]["metrics"]
        if metric["type"] == "Pods"
    }
    assert asked == served.keys() == {"vitrine_http_in_flight", ratio}
    # The same ratio as KEDA's, of one pod.
    (scaled,) = render("production-gpu").of("ScaledObject")
    whole = re.sub(r"\{[^}]*\}", "", scaled["spec"]["triggers"][0]["metadata"]["query"])
    assert whole == re.sub(r"\{[^}]*\}| by \(<<.GroupBy>>\)", "", served[ratio]["metricsQuery"])


def test_a_command_that_nobody_understands_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option: --dryrun"):
        test_vitrine_takes_its_words(Command(Path("x"), ("vitrine", "promote", "C", "--dryrun")))
    with pytest.raises(AssertionError):
        test_vitrine_takes_its_words(Command(Path("x"), ("vitrine", "promot", "C")))
    with pytest.raises(AssertionError):
        test_kubectl_has_the_verb_and_its_options(Command(Path("x"), ("kubectl", "-n", "a", "wait", "--until=x")))
    with pytest.raises(AssertionError):
        test_helm_has_the_verb_and_its_options(Command(Path("x"), ("helm", "upgrade", "--instal", "a", "b")))
    with pytest.raises(AssertionError):
        test_make_has_the_target_and_knows_the_variables(Command(Path("x"), ("make", "deploi")))
    with pytest.raises(HelmFailed):
        _rendered(
            Command(Path("x"), ("helm", "upgrade", "v", "helm/vitrine", "--values", "yours.yaml", "--set", "a=1"))
        )
