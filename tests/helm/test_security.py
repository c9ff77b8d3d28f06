"""What the restricted Pod Security Standard asks, and what an auditor does."""

import re

import pytest

from tests.helm.rendering import HelmFailed, Rendered, render, walk

# `image`: allowed since 1.33 (kubernetes#130394), the first that the chart uses it with.
RESTRICTED_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
    "image",
}
SECRET_WORDS = re.compile(r"token|password|secret|cursor_key|credential", re.IGNORECASE)


def test_pods_meet_the_restricted_standard(rendered: Rendered) -> None:
    for pod in rendered.pods:
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        context = pod.spec["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod.spec.get("volumes", []):
            assert volume.keys() - {"name"} <= RESTRICTED_VOLUMES
        for container in pod.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert not any("hostPort" in port for port in container.get("ports", []))


def test_no_pod_gets_a_token_of_the_cluster(rendered: Rendered) -> None:
    for pod in rendered.pods:
        assert pod.spec["automountServiceAccountToken"] is False
    for account in rendered.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_pod_gets_variables_of_services(rendered: Rendered) -> None:
    """VITRINE_GATEWAY_PORT=tcp://... would stop a program that knows no such setting."""
    for pod in rendered.pods:
        assert pod.spec["enableServiceLinks"] is False


def test_requests_and_limits_are_set(rendered: Rendered) -> None:
    for pod in rendered.pods:
        for container in pod.containers:
            resources = container["resources"]
            assert resources["requests"].keys() >= {"cpu", "memory"}
            assert resources["limits"].keys() >= {"cpu", "memory"}


def test_every_writable_folder_is_bounded(rendered: Rendered) -> None:
    for pod in rendered.pods:
        for volume in pod.spec.get("volumes", []):
            if "emptyDir" in volume:
                assert "sizeLimit" in volume["emptyDir"]


def test_every_image_says_which_one(rendered: Rendered) -> None:
    for pod in rendered.pods:
        for container in pod.containers:
            name = container["image"].rpartition("/")[2]
            assert "@sha256:" in name or re.search(r":(?!latest$)[\w.-]+$", name), container["image"]


@pytest.mark.parametrize("which", ["gateway", "triton", "indexer", "loadtest"])
def test_latest_is_refused(which: str) -> None:
    with pytest.raises(HelmFailed, match=f"{which}.image.tag: latest"):
        render("everything", f"--set={which}.image.tag=latest")


def test_no_secret_is_in_a_config_map(rendered: Rendered) -> None:
    for one in rendered.of("ConfigMap"):
        assert not [key for key in one["data"] if SECRET_WORDS.search(key)]


def test_secrets_reach_pods_by_reference_alone(rendered: Rendered) -> None:
    assert not rendered.of("Secret")
    for pod in rendered.pods:
        for container in pod.containers:
            for name, value in rendered.environment(container).items():
                if SECRET_WORDS.search(name) or name == "VITRINE_API_KEY":
                    assert isinstance(value, dict)
                    assert value.keys() == {"secretKeyRef"}


def test_mounted_secrets_are_for_their_group_alone(rendered: Rendered) -> None:
    for pod in rendered.pods:
        for volume in pod.spec.get("volumes", []):
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440
                assert pod.spec["securityContext"]["fsGroup"] == pod.spec["securityContext"]["runAsUser"]


def test_no_secret_is_mounted_by_sub_path(rendered: Rendered) -> None:
    """Such a mount is never updated: a revoked key would stay in force."""
    for pod in rendered.pods:
        secrets = {volume["name"] for volume in pod.spec.get("volumes", []) if "secret" in volume}
        for container in pod.containers:
            for mount in container.get("volumeMounts", []):
                assert mount["name"] not in secrets or "subPath" not in mount


def test_nothing_asks_for_rights_in_the_cluster(rendered: Rendered) -> None:
    kinds = {one["kind"] for one in rendered.objects}
    assert not {kind for kind in kinds if kind.startswith(("Role", "ClusterRole"))}
    assert not [value for value in walk(list(rendered.objects)) if isinstance(value, dict) and "hostPath" in value]


def test_external_secrets_make_the_secrets_that_pods_name() -> None:
    rendered = render("everything")
    made = {one["spec"]["target"]["name"]: one for one in rendered.of("ExternalSecret")}
    # The Secrets would go with them, from under a second release that still reads them.
    for one in made.values():
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    (gateway,) = rendered.pods_of("gateway")
    references = [
        value["secretKeyRef"] for value in walk(gateway.spec) if isinstance(value, dict) and "secretKeyRef" in value
    ]
    assert references
    for reference in references:
        keys = {one["secretKey"] for one in made[reference["name"]]["spec"]["data"]}
        assert reference["key"] in keys
