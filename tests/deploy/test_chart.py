"""The Helm chart: linted, rendered, validated, and each of its containers' commands started as a process."""

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from orchestrator import Client
from tests.deploy.kubernetes import CHART, NEWEST, OF_OPERATORS, OLDEST, Document, faults, rendered, run_helm
from tests.downloads import ROOT
from tests.waiting import eventually
from tests.world.ports import free_port

PLAIN: Document = {"database": {"existingSecret": "database"}}
FULL: Document = {
    "image": {"repository": "registry.example/orchestrator", "tag": "mine"},
    "imagePullSecrets": [{"name": "registry"}],
    "database": {"existingSecret": "database", "key": "dsn"},
    "migrate": {"existingSecret": "owner", "resources": {"limits": {"memory": "256Mi"}}},
    "artifacts": {"url": "s3://bucket/artifacts", "archiveUrl": "s3://bucket/archive"},
    "settings": {"ORCHESTRATOR_AUTH": "keys", "ORCHESTRATOR_MAX_RUNS": 50, "ORCHESTRATOR_COMPRESS": True},
    "extraEnv": [{"name": "ORCHESTRATOR_CIPHER_KEY", "valueFrom": {"secretKeyRef": {"name": "cipher", "key": "key"}}}],
    "extraEnvFrom": [{"secretRef": {"name": "skills"}}],
    "project": {
        "volume": {"configMap": {"name": "project"}},
        "workflows": ["/project/flows"],
        "skills": ["/project/a.py", "/project/b.py"],
    },
    "api": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "hosts": ["a.example", "b.example"],
            "tls": [{"secretName": "tls", "hosts": ["a.example"]}],
        },
        "autoscaling": {"enabled": True, "maxReplicas": 9},
        "service": {"annotations": {"a": "b"}},
        "annotations": {"a": "b"},
        "nodeSelector": {"zone": "eu"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
    },
    "worker": {"keda": {"enabled": True, "waitingRunsPerWorker": 5}, "tolerations": [{"operator": "Exists"}]},
    "metrics": {"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [{"namespaceSelector": {}}],
        "metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        "egress": [{"ports": [{"port": 443}]}],
    },
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}},
}
OTHERS: dict[str, Document] = {
    "a database url": {"database": {"url": "postgresql://u:p@db/o"}},
    "a claim": {**PLAIN, "artifacts": {"persistence": {"existingClaim": "shared"}}},
    "workers by cpu": {**PLAIN, "worker": {"autoscaling": {"enabled": True}}},
    "little": {
        **PLAIN,
        "migrate": {"enabled": False},
        "serviceAccount": {"create": False},
        **{name: {"podDisruptionBudget": {"enabled": False}} for name in ("api", "worker", "projector")},
    },
    "another name": {**PLAIN, "fullnameOverride": "o" * 60},
}
ALL = {"plain": PLAIN, "full": FULL, **OTHERS}


def named(resources: list[Document], kind: str, ending: str) -> Document:
    (found,) = (each for each in resources if each["kind"] == kind and each["metadata"]["name"].endswith(ending))
    return found


def container(resource: Document) -> Document:
    found: Document = resource["spec"]["template"]["spec"]["containers"][0]
    return found


def environment(resource: Document) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container(resource)["env"]}


@pytest.mark.parametrize("values", ALL.values(), ids=ALL.keys())
def test_every_resource_is_valid(values: Document, tmp_path: Path) -> None:
    resources = rendered(values, tmp_path)
    known = [resource for resource in resources if resource["kind"] not in OF_OPERATORS]
    assert len(known) >= 4
    for version in (OLDEST, NEWEST):
        assert [found for resource in known for found in faults(resource, version)] == []
    names = [(resource["kind"], resource["metadata"]["name"]) for resource in resources]
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 63


def test_the_schemas_find_faults(tmp_path: Path) -> None:
    worker = named(rendered(PLAIN, tmp_path), "Deployment", "-worker")
    container(worker)["readOnlyRootFilesystem"] = True  # it belongs into the security context
    worker["spec"]["replicas"] = "two"
    found = "\n".join(faults(worker, NEWEST))
    assert "readOnlyRootFilesystem" in found
    assert "'two' is not of type" in found


@pytest.mark.parametrize("values", ALL.values(), ids=ALL.keys())
def test_it_is_linted(values: Document, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = run_helm("lint", "--strict", CHART, "--values", file)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("values", "named_in_message"),
    [
        ({}, "set database.existingSecret"),
        ({**PLAIN, "worker": {"replicas": -1}}, "worker/replicas"),
        ({**PLAIN, "workers": {"replicas": 1}}, "workers"),
        ({**PLAIN, "settings": {"AUTH": "keys"}}, "AUTH"),
        ({**PLAIN, "shutdownGraceSeconds": "60s"}, "shutdownGraceSeconds"),
        ({**PLAIN, "artifacts": {"url": "s3://b/a"}}, "artifacts.archiveUrl"),
        ({**PLAIN, "artifacts": {"persistence": {"enabled": False}}}, "a place that all pods reach"),
        ({**PLAIN, "api": {"ingress": {"enabled": True}}}, "api.ingress.hosts"),
        ({**PLAIN, "worker": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}}, "not both"),
    ],
)
def test_wrong_values_are_refused(values: Document, named_in_message: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    done = run_helm("template", "here", CHART, "--values", file)
    assert done.returncode != 0
    assert named_in_message in done.stderr


def test_pods_have_no_rights_that_they_do_not_need(tmp_path: Path) -> None:
    resources = rendered(FULL, tmp_path)
    pods = [resource for resource in resources if resource["kind"] in {"Deployment", "Job"}]
    assert len(pods) == 4
    for pod in pods:
        spec = pod["spec"]["template"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {mount["mountPath"] for mount in container(pod)["volumeMounts"]} >= {"/data", "/tmp"}


def test_pods_get_time_to_finish(tmp_path: Path) -> None:
    for resource in rendered({**PLAIN, "shutdownGraceSeconds": 300}, tmp_path):
        if resource["kind"] == "Deployment":
            assert resource["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 315
            assert environment(resource)["ORCHESTRATOR_SHUTDOWN_GRACE_SECONDS"] == "300"


def test_the_chart_is_of_this_release() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == project["version"]


def test_what_its_readme_shows_can_be_installed(tmp_path: Path) -> None:
    text = (CHART / "README.md").read_text(encoding="utf-8")
    values = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    resources = rendered(values, tmp_path)
    assert environment(named(resources, "Deployment", "-worker"))["ORCHESTRATOR_SKILLS"] == "/project/hello.py"


class Pods:
    """The containers of the chart as processes of this machine, with the environment that the chart gives them."""

    def __init__(self, resources: list[Document], database_url: str, home: Path) -> None:
        self._resources = resources
        self._differing = {
            "ORCHESTRATOR_DATABASE_URL": database_url,
            "ORCHESTRATOR_DATA_DIR": str(home),
            "ORCHESTRATOR_HOST": "127.0.0.1",
            "ORCHESTRATOR_METRICS_HOST": "127.0.0.1",
        }
        self.ports = {name: free_port() for name in ("api", "worker", "projector")}

    def environment(self, component: str) -> dict[str, str]:
        kind = "Job" if component == "migrate" else "Deployment"
        stated = environment(named(self._resources, kind, f"-{component}"))
        outside = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
        port = str(self.ports.get(component, 0))
        ports = {"ORCHESTRATOR_PORT" if component == "api" else "ORCHESTRATOR_METRICS_PORT": port}
        given = {name: value for name, value in stated.items() if isinstance(value, str)}
        return {**outside, **given, **self._differing, **(ports if component in self.ports else {})}

    def command(self, component: str) -> list[str]:
        kind = "Job" if component == "migrate" else "Deployment"
        words: list[str] = container(named(self._resources, kind, f"-{component}"))["command"]
        return here(words)

    def run(self, component: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a container: its own, or other words."""
        command = here(list(words)) if words else self.command(component)
        env = self.environment(component)
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)

    @contextmanager
    def started(self, component: str) -> Iterator["subprocess.Popen[bytes]"]:
        with subprocess.Popen(self.command(component), env=self.environment(component)) as process:
            try:
                yield process
            finally:
                process.terminate()
                process.wait(30)

    def probe(self, component: str, name: str) -> bool:
        """Do what the kubelet does for a probe of a container."""
        probe = container(named(self._resources, "Deployment", f"-{component}"))[name]
        if "exec" in probe:
            return self.run(component, *probe["exec"]["command"]).returncode == 0
        try:
            address = f"http://127.0.0.1:{self.ports[component]}{probe['httpGet']['path']}"
            return httpx.get(address, timeout=probe.get("timeoutSeconds", 1)).is_success
        except httpx.TransportError:
            return False


def here(words: list[str]) -> list[str]:
    """Return a command of the image as this machine runs it."""
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]]


@pytest.mark.timeout(240)
def test_what_it_starts_works_together(empty_database_url: str, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(
        '{"workflowName": "mine.v1", "version": "1", "steps": [{"stepId": "a", "skillId": "mine.a"}]}'
    )
    (tmp_path / "mine.py").write_text("from orchestrator import skill\nskill('mine.a')(lambda: {'of': 'mine'})\n")
    project = {"workflows": [str(tmp_path / "mine.json")], "skills": [str(tmp_path / "mine.py")]}
    pods = Pods(rendered({**PLAIN, "project": project}, tmp_path), empty_database_url, data_dir)
    assert not pods.probe("api", "livenessProbe")
    assert pods.run("migrate").returncode == 0
    with ExitStack() as stack:
        for component in ("api", "worker", "projector"):
            stack.enter_context(pods.started(component))
        for component in pods.ports:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                eventually(lambda c=component, p=probe: pods.probe(c, p), 60, f"{component}: {probe}")
        made = pods.run("api", "orchestrator", "keys", "create", "admin", "--role", "admin")
        with Client(f"http://127.0.0.1:{pods.ports['api']}", key=made.stdout.strip()) as client:
            run = client.wait(client.trigger("mine.v1")["runId"], timeout=60)
            assert (run["status"], client.steps(run["id"])[0]["data"]) == ("completed", {"of": "mine"})
