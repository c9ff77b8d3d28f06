"""The Jobs: the program takes their arguments, and its exit statuses mean what the Jobs make of them."""

import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from tests.helm.rendering import Object, Pod, render
from vitrine.indexer.commands import register


def _jobs(example: str, *more: str) -> list[Object]:
    return render(example, *more).of("Job")


def _args(pod: Pod) -> list[str]:
    return list(pod.spec["containers"][0]["args"])


def _parsed(arguments: list[str]) -> dict[str, object]:
    """As the indexer's own command line reads them, without running anything."""
    app = typer.Typer()
    register(app)
    group = get_command(app)
    with group.make_context("indexer", list(arguments)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
        assert command is not None
        values: dict[str, object] = {}
        while command is not None:
            inner = command.make_context(name, list(rest), parent=context)
            values = dict(inner.params)
            rest = [*inner._protected_args, *inner.args]
            context = inner
            if not rest:
                break
            name, command, rest = command.resolve_command(inner, rest)  # type: ignore[attr-defined]
    return values


@pytest.mark.parametrize("example", ["dev", "production-gpu", "everything"])
def test_the_program_takes_the_arguments_of_its_pods(example: str) -> None:
    for pod in render(example).pods_of("indexer"):
        values = _parsed(_args(pod))
        assert values["collection"] == ("shop" if example == "everything" else "products")


def test_a_catalogue_is_read_where_it_is_mounted() -> None:
    (pod,) = render("dev").pods_of("indexer")
    assert str(_parsed(_args(pod))["catalogue"]) == "/catalogue"
    mounts = {mount["mountPath"]: mount for mount in pod.spec["containers"][0]["volumeMounts"]}
    assert mounts["/catalogue"]["readOnly"] is True
    assert "readOnly" not in mounts["/state"]


def test_shards_share_a_number_and_a_round_with_the_job_that_finishes() -> None:
    filling, finishing = sorted(_jobs("production-gpu"), key=lambda job: len(job["metadata"]["name"]))
    shards, end = (_parsed(_args(pod)) for pod in sorted(render("production-gpu").pods_of("indexer"), key=_is_finish))
    assert filling["spec"]["completionMode"] == "Indexed"
    assert filling["spec"]["completions"] == shards["shards"] == end["shards"] == 4
    assert shards["round_name"] == end["round_name"] == filling["metadata"]["name"]
    assert finishing["metadata"]["name"] == f"{filling['metadata']['name']}-finish"
    wait = end["wait"]
    assert isinstance(wait, float)
    assert finishing["spec"]["activeDeadlineSeconds"] > wait >= filling["spec"]["activeDeadlineSeconds"]


def _is_finish(pod: Pod) -> bool:
    return "finish" in _args(pod)


def test_each_shard_is_retried_for_itself() -> None:
    (filling, _) = sorted(_jobs("production-gpu"), key=lambda job: len(job["metadata"]["name"]))
    assert filling["spec"]["backoffLimitPerIndex"] == 4
    assert "backoffLimit" not in filling["spec"]


@pytest.mark.parametrize("example", ["dev", "production-gpu", "everything"])
def test_what_is_wrong_fails_at_once_and_what_is_away_is_tried_again(example: str) -> None:
    """The policy needs `restartPolicy: Never` and the container's own name."""
    for pod in render(example).pods_of("indexer"):
        owner = pod.owner["spec"]
        job = owner["jobTemplate"]["spec"] if "jobTemplate" in owner else owner
        assert pod.spec["restartPolicy"] == "Never"
        wrong, drained = job["podFailurePolicy"]["rules"]
        assert wrong["action"] == "FailJob"
        assert wrong["onExitCodes"] == {"containerName": "indexer", "operator": "In", "values": [2]}
        assert [container["name"] for container in pod.spec["containers"]] == ["indexer"]
        assert drained["action"] == "Ignore"
        assert drained["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


def test_the_status_of_a_wrong_request_is_the_one_that_fails_the_job() -> None:
    wrong = [sys.executable, "-m", "vitrine.indexer", "index", "--catalogue=/nowhere", "--collection=Not A Name"]
    assert subprocess.run(wrong, capture_output=True, check=False, timeout=60).returncode == 2


def test_a_job_has_another_name_when_it_would_do_something_else() -> None:
    """A Job's pods cannot be changed: with the old name the upgrade would fail."""
    (one,) = _jobs("dev")
    for change in ("indexer.run=two", "collection=other", "indexer.image.tag=v9", "settings.images.decode_threads=3"):
        (other,) = _jobs("dev", f"--set={change}")
        assert other["metadata"]["name"] != one["metadata"]["name"], change


def test_a_job_keeps_its_name_when_something_else_changes() -> None:
    (one,) = _jobs("dev")
    (other,) = _jobs("dev", "--set=gateway.replicas=2", "--set=cursor.existingSecret=c", "--set=triton.shmSize=1Gi")
    assert one == other


def test_a_finished_job_stays_so_that_an_upgrade_does_not_run_it_again() -> None:
    for example in ("dev", "production-gpu", "everything"):
        for job in _jobs(example):
            assert "ttlSecondsAfterFinished" not in job["spec"]


def test_the_ledger_outlives_the_release() -> None:
    for example, mode in (("dev", "ReadWriteOnce"), ("production-gpu", "ReadWriteMany")):
        (claim,) = render(example).of("PersistentVolumeClaim")
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert claim["spec"]["accessModes"] == [mode]


def test_nightly_runs_do_not_overlap() -> None:
    (cron,) = render("everything").of("CronJob")
    assert cron["spec"]["concurrencyPolicy"] == "Forbid"


def test_names_fit_even_for_the_longest_release() -> None:
    for example in ("production-gpu", "everything"):
        for one in render(example, "--set=fullnameOverride=" + "n" * 80).objects:
            assert len(one["metadata"]["name"]) <= 63
