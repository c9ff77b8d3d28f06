"""The script that holds objects of operators to their definitions finds what `kubectl apply` would."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.helm.rendering import EXAMPLES, ROOT, render

SCRIPT = ROOT / "helm" / "check_crds.py"
AMOUNT = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
SPEC = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": AMOUNT,
        "note": {"type": "string", "nullable": True},
        "parts": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "anything": {"type": "object", "properties": {}, "x-kubernetes-preserve-unknown-fields": True},
    },
}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boxes.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Box", "plural": "boxes"},
        "versions": [
            {
                "name": name,
                "served": name == "v1",
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "apiVersion": {"type": "string"},
                            "kind": {"type": "string"},
                            "metadata": {"type": "object"},
                            "spec": SPEC,
                        },
                    }
                },
            }
            for name in ("v1", "v1beta1")
        ],
    },
}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("check_crds", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Definitions of one kind."""
    (tmp_path / "boxes.yaml").write_text(yaml.safe_dump(DEFINITION))
    return tmp_path


def _box(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "one", "labels": {"a": "b"}}
    return {"apiVersion": "example.com/v1", "kind": "Box", "metadata": metadata, "spec": spec}


def test_what_a_definition_allows_has_no_faults(script: ModuleType, folder: Path) -> None:
    known = script.definitions(folder)
    allowed = _box(size="3", note=None, parts=[{"name": "a"}], labels={"x": "y"}, anything={"of": 1})
    assert script.faults(allowed, known) == []
    assert script.faults(_box(size=3), known) == []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"size": 1, "sise": 1}, r"\$\.spec: Additional properties .*'sise' was unexpected"),
        ({"size": 1, "parts": [{"nmae": "a"}]}, r"\$\.spec\.parts\[0\]: Additional properties .*'nmae' was unexpected"),
        ({"size": 1, "note": 1}, r"\$\.spec\.note: 1 is not of type"),
        ({"size": [1]}, r"\$\.spec\.size: "),
        ({}, r"\$\.spec: 'size' is a required property"),
        ({"size": 1, "labels": {"x": 1}}, r"\$\.spec\.labels\.x: 1 is not of type 'string'"),
    ],
)
def test_what_it_does_not_allow_is_named_with_its_path(
    script: ModuleType, folder: Path, spec: dict[str, Any], says: str
) -> None:
    found = script.faults(_box(**spec), script.definitions(folder))
    assert re.match(says, found[0]), found


def test_definitions_may_come_from_a_cluster_as_a_list(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "cluster.yml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [DEFINITION]}))
    assert script.faults(_box(size=3), script.definitions(tmp_path)) == []


def test_a_kind_or_version_without_a_definition_is_a_fault(script: ModuleType, folder: Path) -> None:
    old = _box(size=1) | {"apiVersion": "example.com/v1beta1"}
    assert script.faults(old, script.definitions(folder)) == ["no definition of example.com/v1beta1 Box"]


def test_every_object_that_no_kubernetes_knows_is_looked_at(script: ModuleType) -> None:
    operators = {
        "monitoring.coreos.com/v1",
        "keda.sh/v1alpha1",
        "external-secrets.io/v1",
        "gateway.networking.k8s.io/v1",
    }
    versions = {one["apiVersion"] for example in EXAMPLES for one in render(example).objects}
    assert {version for version in versions if not version.startswith(script.BUILT_IN)} == operators


def test_a_folder_without_definitions_is_no_success(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "has no CustomResourceDefinition" in done.stderr
