"""The Jobs: the program takes their arguments, and its exit statuses mean what the Jobs make of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from tests.helm.rendering import Object, Pod, render
from vitrine.indexer.commands import register


def _jobs(example: str, *more: str) -> list[Object]:
    return render(example, *more).of("Job")


def _job_pods(example: str) -> list[Pod]:
    return [pod for pod in render(example).pods_of("indexer") if pod.owner["kind"] != "Deployment"]


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
    for pod in _job_pods(example):
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
    pods = [pod for pod in render("production-gpu").pods_of("indexer") if pod.owner["kind"] == "Job"]
    shards, end = (_parsed(_args(pod)) for pod in sorted(pods, key=_is_finish))
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
    for pod in _job_pods(example):
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
    changes = ("indexer.run=two", "collection=other", "indexer.image.tag=v9", "settings.images.decode_threads=3")
    for change in (*changes, "indexer.shards=2", "indexer.backoffLimit=9", "indexer.podLabels.a=b", "commonLabels.a=b"):
        other = min(_jobs("dev", f"--set={change}"), key=lambda job: len(job["metadata"]["name"]))
        assert other["metadata"]["name"] != one["metadata"]["name"], change


def test_a_job_keeps_its_name_when_something_else_changes() -> None:
    (one,) = _jobs("dev")
    changes = (
        "gateway.replicas=2",
        "cursor.existingSecret=c",
        "triton.shmSize=1Gi",
        "settings.gateway.max_in_flight=9",
    )
    (other,) = _jobs("dev", *(f"--set={change}" for change in changes))
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


def test_another_number_of_shards_asks_for_another_claim() -> None:
    """A claim's access mode cannot be changed: with the old name the upgrade would fail."""
    names = {
        render("dev", f"--set=indexer.shards={shards}").of("PersistentVolumeClaim")[0]["metadata"]["name"]
        for shards in (1, 2, 3)
    }
    assert len(names) == 2


def test_nightly_runs_do_not_overlap() -> None:
    for example in ("everything", "production-gpu"):
        (cron,) = render(example).of("CronJob")
        assert cron["spec"]["concurrencyPolicy"] == "Forbid"


def test_a_nightly_run_of_shards_has_a_pod_for_each_and_one_that_finishes(tmp_path: Path) -> None:
    """Run by a real shell, with a `python` that says what it was called with."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    python.chmod(0o700)
    (cron,) = render("production-gpu").of("CronJob")
    job = cron["spec"]["jobTemplate"]["spec"]
    (pod,) = [pod for pod in render("production-gpu").pods_of("indexer") if pod.owner is cron]
    (container,) = pod.spec["containers"]
    (name,) = [one for one in container["env"] if one["name"] == "ROUND"]
    assert name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['batch.kubernetes.io/job-name']"
    # As the kubelet does.
    command = [word.replace("$(ROUND)", "nightly-1") for word in [*container["command"], *container["args"]]]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == 5
    for index in range(5):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
        module, *said = done.stdout.split()[1:]
        assert module == "vitrine.indexer"
        values = _parsed(said)
        assert values["shards"] == 4
        assert values["round_name"] == "nightly-1"
        assert values["collection"] == "products"
        assert ("finish" in said) is (index == 4)
        assert ("catalogue" in values) is (index < 4)
    assert job["activeDeadlineSeconds"] > 86400
    assert "backoffLimit" not in job


def test_the_toolbox_has_what_the_job_has_and_stops_when_told() -> None:
    rendered = render("everything")
    (box,) = [pod for pod in rendered.pods_of("indexer") if pod.owner["kind"] == "Deployment"]
    (job,) = [pod for pod in rendered.pods_of("indexer") if pod.owner["kind"] == "Job"]
    (waiting,), (indexing,) = box.spec["containers"], job.spec["containers"]
    for part in ("image", "env", "envFrom", "volumeMounts", "securityContext"):
        assert waiting[part] == indexing[part]
    assert box.spec["volumes"] == job.spec["volumes"]
    assert rendered.selected(box.owner["spec"]["selector"]["matchLabels"]) == [box]
    heard = "TERM;"
    script = waiting["command"][2].replace(heard, f"{heard} echo up;")  # once it would hear the signal
    said = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert said.stdout is not None
    with said.stdout:
        assert said.stdout.readline() == "up\n"
        said.terminate()
        # By itself: a first process, as it is in the pod, does not die of a signal that it does not handle.
        assert said.wait(timeout=10) == 0


def test_the_toolbox_alone_brings_what_its_pod_needs() -> None:
    rendered = render("dev", "--set=indexer.enabled=false", "--set=indexer.toolbox.enabled=true")
    (box,) = rendered.pods_of("indexer")
    assert rendered.environment(box.spec["containers"][0])["VITRINE_LOCAL__STATE_DIR"] == "/state"
    assert len(rendered.of("PersistentVolumeClaim")) == 1
    assert box.spec["serviceAccountName"] in {one["metadata"]["name"] for one in rendered.of("ServiceAccount")}


def test_names_fit_even_for_the_longest_release() -> None:
    for example in ("production-gpu", "everything"):
        for one in render(example, "--set=fullnameOverride=" + "n" * 80).objects:
            assert len(one["metadata"]["name"]) <= 63
