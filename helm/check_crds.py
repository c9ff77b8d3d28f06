"""Renders our chart's examples and holds the objects of operators to the operators' own schemas.

usage: python helm/check_crds.py FOLDER [--helm HELM]

FOLDER has the CustomResourceDefinitions (YAML, any file names) of the Prometheus operator, KEDA, the Gateway API and
External Secrets, as released or as `kubectl get crd -o yaml` tells them. A field that a definition does not know is
refused here, as `kubectl apply` refuses it; rules in CEL (`x-kubernetes-validations`) are not evaluated. Prints a line
for each object; exit status 1 when one is not valid, 2 when the folder or a rendering cannot be used.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

CHART: Final = Path(__file__).parent / "vitrine"
BUILT_IN: Final = ("v1", "apps/", "autoscaling/", "batch/", "networking.k8s.io/", "policy/")
"""apiVersions that every Kubernetes serves; the tests hold these to Kubernetes's own schemas."""

Object = dict[str, Any]
Kind = tuple[str, str]


class Unusable(Exception):
    """A folder or a rendering that tells nothing."""


def definitions(folder: Path) -> dict[Kind, Object]:
    """(apiVersion, kind) -> closed schema, of every version that the definitions serve.

    Raises:
        Unusable: there is no definition in the folder.
    """
    found = {}
    for path in sorted(folder.glob("*.y*ml")):
        for one in _each(path.read_text()):
            if one["kind"] == "CustomResourceDefinition":
                for version in (each for each in one["spec"]["versions"] if each["served"]):
                    name = (f"{one['spec']['group']}/{version['name']}", one["spec"]["names"]["kind"])
                    found[name] = closed(version["schema"]["openAPIV3Schema"])
    if not found:
        raise Unusable(f"{folder} has no CustomResourceDefinition.")
    # The outermost metadata is Kubernetes's own; definitions leave it open.
    for schema in found.values():
        schema["properties"]["metadata"] = {"type": "object"}
    return found


def _each(text: str) -> Iterator[Object]:
    """The objects of a file; `kubectl get -o yaml` makes one List of several."""
    for one in yaml.safe_load_all(text):
        if one:
            yield from one["items"] if one["kind"] == "List" else [one]


def closed(schema: Any) -> Any:
    """The schema with unknown fields refused, and Kubernetes's own words said as JSON schema says them."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tight = {key: closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        tight["type"] = ["integer", "string"]
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        tight["type"] = [schema["type"], "null"]
    is_object = schema.get("type") == "object" and isinstance(schema.get("properties"), dict)
    if is_object and not schema.get("x-kubernetes-preserve-unknown-fields"):
        tight.setdefault("additionalProperties", False)
    return tight


def faults(one: Object, known: dict[Kind, Object]) -> list[str]:
    """What is wrong with an object, each as `path: sentence`."""
    schema = known.get((one["apiVersion"], one["kind"]))
    if schema is None:
        return [f"no definition of {one['apiVersion']} {one['kind']}"]
    errors = sorted(Draft202012Validator(schema).iter_errors(one), key=lambda error: error.json_path)
    return [f"{error.json_path}: {error.message}" for error in errors]


def custom_objects(helm: str, values: Path) -> Iterator[Object]:
    """The objects of operators that one values file makes.

    Raises:
        Unusable: helm does not render it.
    """
    command = [helm, "template", "vitrine", str(CHART), f"--values={values}", "--kube-version=1.35.0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603
    if done.returncode:
        raise Unusable(f"{values.name}: {done.stderr.strip()}")
    for one in yaml.safe_load_all(done.stdout):
        if one and not one["apiVersion"].startswith(BUILT_IN):
            yield one


def main() -> int:
    """Prints what holds and what does not; decides the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--helm", default="helm", help="the helm binary (default: the one on the PATH)")
    given = parser.parse_args()
    failed = 0
    try:
        known = definitions(given.folder)
        for values in sorted((CHART / "examples").glob("*.yaml")):
            for one in custom_objects(given.helm, values):
                found = faults(one, known)
                failed += bool(found)
                name = f"{values.stem}: {one['apiVersion']} {one['kind']} {one['metadata']['name']}"
                sys.stdout.write(f"  {'FAIL' if found else 'ok  '}  {name}\n")
                sys.stdout.writelines(f"          {fault}\n" for fault in found)
    except (Unusable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
