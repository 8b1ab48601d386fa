"""Figures of processes without an API: a worker and a projector that are told a port for them."""

import re
from pathlib import Path

import httpx
import pytest

from tests.waiting import eventually
from tests.world.programs import Program


def address(program: Program) -> str:
    """Where a program serves its metrics, as its log says."""
    found = eventually(lambda: re.search(r"metrics at (\S+/metrics)\"", program.err), shows=lambda: program.err)
    return str(found[1])


@pytest.mark.parametrize("verb", ["worker", "projector"])
def test_a_process_without_an_api_shows_its_figures_on_a_port_of_its_own(verb: str, data_dir: Path) -> None:
    with Program(verb, "--data-dir", data_dir, "--metrics-port", "0") as program:
        program.ready()
        url = address(program)
        assert url.startswith("http://127.0.0.1:")
        text = httpx.get(url).text
        assert "orchestrator_database_up 1.0" in text
        assert "orchestrator_commit_batch_events_count" in text
        assert httpx.get(url.replace("/metrics", "/health/live")).json() == {"status": "live"}
        assert httpx.get(url.replace("/metrics", "/other")).status_code == 404
        assert httpx.post(url).status_code == 404
        assert httpx.get(url, headers={"Host": "evil.example"}).json()["error"] == "HOST_NOT_ALLOWED"
        assert httpx.get(url, headers={"Origin": "https://evil.example"}).json()["error"] == "ORIGIN_NOT_ALLOWED"
        assert program.stop() == 0
