"""docker-compose.yml says what works: each of our services starts as a plain process and passes its health check."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.sources import ROOT
from tests.servers import ValkeyServer

OURS = ("api", "worker", "projector")
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
START_SECONDS = 60.0
STOP_SECONDS = 30.0
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def filled_in(text: str, given: dict[str, str]) -> str:
    """Put values in the place of `${NAME}`, `${NAME:-default}` and `${NAME:?message}`."""
    return VARIABLE.sub(lambda found: given.get(found[1], found[3] if found[2] == "-" else ""), text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
        "ORCHESTRATOR_DATA_DIR": str(tmp_path),
    }


def environment_of(service: str, differing: dict[str, str]) -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    stated = {name: filled_in(value, {}) for name, value in COMPOSE["services"][service]["environment"].items()}
    return {**outside, **stated, **differing}


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


@pytest.mark.parametrize("service", OURS)
def test_a_service_starts_and_passes_its_health_check(service: str, environment: dict[str, str]) -> None:
    surroundings = environment_of(service, environment)
    before = check(service, surroundings)
    assert before.returncode == 1, "the check passes without the service"
    assert before.stderr
    deadline = time.monotonic() + START_SECONDS
    with running(service, surroundings) as process:
        while (found := check(service, surroundings)).returncode != 0:
            assert process.poll() is None, f"{service} ended with {process.returncode}"
            assert time.monotonic() < deadline, found.stderr
            time.sleep(0.2)
    assert process.returncode in {0, 128 + signal.SIGTERM}
    if service != "projector":  # what it wrote stays true for a while
        assert check(service, surroundings).returncode == 1


def test_every_service_says_when_it_is_healthy() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "valkey", *OURS}
    assert {name for name, service in services.items() if not service["healthcheck"]["test"]} == set()
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
        "postgres": "service_healthy",
        "valkey": "service_healthy",
    }


def test_the_image_holds_what_the_services_need() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    named = [word for line in copied for word in line.split()]
    assert [name for name in named if not (ROOT / name).exists()] == []
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [name for name in named if f"!{name}" not in ignored] == []
    for variable in ("ORCHESTRATOR_SKILLS", "ORCHESTRATOR_WORKFLOWS"):
        place = next(e[variable] for s in OURS if variable in (e := COMPOSE["services"][s]["environment"]))
        assert (ROOT / filled_in(place, {})).exists()
        assert filled_in(place, {}).startswith("examples/")


def test_variables_of_the_compose_file_are_in_the_example() -> None:
    named = {found[1] for found in VARIABLE.finditer((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))}
    given = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
    assert named == set(given)
