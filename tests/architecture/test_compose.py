"""docker-compose.yml says what works: each of our services starts as a plain process and passes its health check."""

import os
import re
import signal
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
from orchestrator.client.errors import NotAuthenticated
from orchestrator.settings import PREFIX, Settings
from tests.architecture.sources import ROOT
from tests.servers import ValkeyServer
from tests.waiting import eventually
from tests.world.ports import free_port

OURS = ("api", "worker", "projector")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def filled_in(text: str, given: dict[str, str]) -> str:
    """Put values in the place of `${NAME}`, `${NAME:-default}` and `${NAME:?message}`."""
    return VARIABLE.sub(lambda found: given.get(found[1], found[3] if found[2] == "-" else ""), text)


def here(words: list[str]) -> list[str]:
    """Return a command of the image as this machine runs it."""
    return [str(Path(sys.executable).with_name(words[0])), *words[1:]]


@pytest.fixture
def environment(database_url: str, valkey: ValkeyServer, tmp_path: Path) -> dict[str, str]:
    """What differs from the compose file on this machine: addresses, ports and folders."""
    return {
        "ORCHESTRATOR_DATABASE_URL": database_url,
        "ORCHESTRATOR_REDIS_URL": valkey.url,
        "ORCHESTRATOR_PORT": str(free_port()),
        "ORCHESTRATOR_METRICS_HOST": "127.0.0.1",
        "ORCHESTRATOR_METRICS_PORT": str(free_port()),
        "ORCHESTRATOR_DATA_DIR": str(tmp_path),
    }


def env_file(text: str) -> dict[str, str]:
    """Return what a `.env` file sets."""
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


EXAMPLE = env_file((ROOT / ".env.example").read_text(encoding="utf-8"))


def environment_of(service: str, differing: dict[str, str], given: dict[str, str] | None = None) -> dict[str, str]:
    """Return what a container of a service sees, on this machine; `given` is what `.env` says besides the example."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    in_file = {**EXAMPLE, **(given or {})}
    assert COMPOSE["services"][service]["env_file"] == ".env"
    stated = {name: filled_in(value, in_file) for name, value in COMPOSE["services"][service]["environment"].items()}
    seen = {**outside, **in_file, **stated}
    for mount in COMPOSE["services"][service]["volumes"]:
        there, here_, *_ = reversed(filled_in(mount, in_file).removesuffix(":ro").split(":"))
        if here_.startswith("."):  # a folder of this machine; what is not here is a volume
            seen = {name: re.sub(rf"^{there}(?=/|$)", str(ROOT / here_), value) for name, value in seen.items()}
    return {**seen, **differing}


@contextmanager
def running(service: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    command = here(COMPOSE["services"][service]["command"])
    with subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def check(service: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    kind, *words = COMPOSE["services"][service]["healthcheck"]["test"]
    assert kind == "CMD"
    return subprocess.run(here(words), cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def metrics(port: str) -> str:
    """Return what a service answers to GET /metrics; nothing as long as it does not listen."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:
        return ""


@pytest.mark.parametrize("service", OURS)
def test_a_service_starts_and_passes_its_health_check(service: str, environment: dict[str, str]) -> None:
    surroundings = environment_of(service, environment)
    before = check(service, surroundings)
    assert before.returncode == 1, "the check passes without the service"
    assert before.stderr
    with running(service, surroundings) as process:

        def look() -> "subprocess.CompletedProcess[str]":
            assert process.poll() is None, f"{service} ended with {process.returncode}"
            return check(service, surroundings)

        eventually(look, START_SECONDS, f"{service} is healthy", right=lambda found: found.returncode == 0)
        port = surroundings["ORCHESTRATOR_PORT" if service == "api" else "ORCHESTRATOR_METRICS_PORT"]
        eventually(
            lambda: metrics(port), START_SECONDS, "it answers GET /metrics", right=lambda text: "orchestrator_" in text
        )
    assert process.returncode in {0, 128 + signal.SIGTERM}
    if service != "projector":  # what it wrote stays true for a while
        assert check(service, surroundings).returncode == 1


def test_every_service_says_when_it_is_healthy() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "valkey", "migrate", *OURS}
    assert {name for name, service in services.items() if not service.get("healthcheck", {}).get("test")} == {"migrate"}
    assert services["postgres"]["image"] == "postgres:18"
    assert "pg_isready" in services["postgres"]["healthcheck"]["test"][1]
    assert services["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]  # from 18 on, not .../data
    assert services["valkey"]["image"].startswith("valkey/valkey:")
    assert services["valkey"]["healthcheck"]["test"] == ["CMD", "valkey-cli", "ping"]


@pytest.mark.parametrize("service", OURS)
def test_ours_are_one_image_and_one_verb_each(service: str) -> None:
    stated = COMPOSE["services"][service]
    assert stated["build"] == "."
    assert stated["command"][:2] == ["orchestrator", service]
    assert {name: need["condition"] for name, need in stated["depends_on"].items()} == {
        "migrate": "service_completed_successfully",
        "postgres": "service_healthy",
        "valkey": "service_healthy",
    }


def test_the_database_is_migrated_before_anything_else_starts(
    environment: dict[str, str], empty_database_url: str
) -> None:
    stated = COMPOSE["services"]["migrate"]
    assert stated["build"] == "."
    assert stated["restart"] == "on-failure"  # and not again once it is done: the others wait for its end
    assert stated["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    seen = environment_of("migrate", {**environment, "ORCHESTRATOR_DATABASE_URL": empty_database_url})
    refused = subprocess.run(
        here(COMPOSE["services"]["projector"]["command"]), cwd=ROOT, env=seen, capture_output=True, text=True,
        check=False, timeout=START_SECONDS,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "is empty. Set it up with `orchestrator migrate`." in refused.stderr
    for _ in range(2):
        subprocess.run(here(stated["command"]), cwd=ROOT, env=seen, check=True, timeout=START_SECONDS)
    with running("projector", seen) as projector:

        def is_healthy() -> bool:
            assert projector.poll() is None
            return check("projector", seen).returncode == 0

        eventually(is_healthy, START_SECONDS, "the projector is healthy")


def test_the_image_holds_what_the_services_need() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    named = [word for line in copied for word in line.split()]
    assert [name for name in named if not (ROOT / name).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [name for name in named if f"!{name}" not in ignored] == []


def test_the_image_has_the_packages_that_verbs_need() -> None:
    locked = (ROOT / "requirements-image.lock").read_text(encoding="utf-8")
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra in ("redis", "encryption", "signing", "parquet", "oidc", "tracing", "examples"):
        for needed in extras[extra]:
            name = re.split(r"[\[<>=]", needed)[0]
            assert re.search(rf"^{name}(\[\w+\])?==", locked, re.MULTILINE), f"{name} of the extra {extra}"


def test_the_folder_that_is_mounted_holds_skills_and_workflows() -> None:
    for service in ("api", "worker"):
        seen = environment_of(service, {})
        for variable in ("ORCHESTRATOR_SKILLS", "ORCHESTRATOR_WORKFLOWS"):
            assert Path(seen[variable]).is_dir()
            assert COMPOSE["services"][service]["volumes"][-1].endswith(":/project:ro")


def test_a_folder_of_ones_own_is_served(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "flow.json").write_text(
        '{"workflowName": "mine.v1", "version": "1", "steps": [{"stepId": "a", "skillId": "mine.a"}]}'
    )
    (tmp_path / "mine" / "skills.py").write_text(
        "from orchestrator import skill\nskill('mine.a')(lambda: {'of': 'mine'})\n"
    )
    given = {
        "ORCHESTRATOR_PROJECT": f"./{os.path.relpath(tmp_path / 'mine', ROOT)}",
        "ORCHESTRATOR_SKILLS": "/project/skills.py",
    }
    environments = {name: environment_of(name, environment, given) for name in ("api", "worker", "projector")}
    environments["projector"]["ORCHESTRATOR_METRICS_PORT"] = str(free_port())
    with ExitStack() as stack:
        for name, seen in environments.items():
            stack.enter_context(running(name, seen))
        with Client(f"http://127.0.0.1:{environment['ORCHESTRATOR_PORT']}", tries=60) as client:
            run = client.wait(client.trigger("mine.v1")["runId"], timeout=START_SECONDS)
            assert run["status"] == "completed"
            assert client.steps(run["id"])[0]["data"] == {"of": "mine"}


def test_the_api_can_be_secured_and_opened(environment: dict[str, str]) -> None:
    given = {"ORCHESTRATOR_AUTH": "keys", "ORCHESTRATOR_HOST": "0.0.0.0"}
    seen = environment_of("api", environment, given)
    with running("api", seen):
        made = subprocess.run(
            here(["orchestrator", "keys", "create", "me", "--role", "operator"]),
            cwd=ROOT, env=seen, capture_output=True, text=True, check=True,
        )  # fmt: skip
        server = f"http://127.0.0.1:{environment['ORCHESTRATOR_PORT']}"
        with Client(server, tries=60) as nobody, pytest.raises(NotAuthenticated):
            nobody.workflows()
        with Client(server, key=made.stdout.strip()) as client:
            assert "campaign.build.v1" in [each["workflowName"] for each in client.workflows()]
        assert check("api", seen).returncode == 0
    refused = subprocess.run(
        here(COMPOSE["services"]["api"]["command"]), cwd=ROOT, env={**seen, "ORCHESTRATOR_AUTH": ""},
        capture_output=True, text=True, check=False, timeout=START_SECONDS,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "ORCHESTRATOR_AUTH=keys" in refused.stderr


@pytest.mark.parametrize("name", ["tls", "monitoring"])
def test_what_is_added_fits(name: str) -> None:
    added = yaml.safe_load((ROOT / "deploy" / "compose" / f"{name}.yml").read_text(encoding="utf-8"))
    together = set(COMPOSE["services"]) | set(added["services"])
    settings = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    for service, stated in added["services"].items():
        assert service in COMPOSE["services"] or ":" in stated["image"]
        assert set(stated.get("depends_on", ())) <= together
        for mount in stated.get("volumes", ()):
            source = mount.split(":")[0]
            assert (ROOT / source).is_file() if source.startswith("./") else source in added["volumes"]
        if service in OURS:
            assert set(stated["environment"]) <= settings


def test_variables_of_the_compose_file_are_in_the_example() -> None:
    named = {found[1] for found in VARIABLE.finditer((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))}
    assert named <= set(EXAMPLE)
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert set(EXAMPLE) <= named | settings
