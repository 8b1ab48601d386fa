"""The example for nginx works: TLS, requests, live event streams, and metrics that stay inside."""

import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from benchmarks.folders import open_folder
from tests.acceptance.readme import write_example
from tests.downloads import ROOT, debian
from tests.waiting import eventually
from tests.world.ports import free_port
from tests.world.programs import Program

SITE = (ROOT / "deploy" / "proxy" / "nginx.conf").read_text(encoding="utf-8")


@contextmanager
def nginx(folder: Path, upstream: str) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run nginx with the example as its site, on ports of this machine; yield its address and whom to trust."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    plain, secure = free_port(), free_port()
    site = SITE.replace("127.0.0.1:8000", upstream).replace("listen 80;", f"listen 127.0.0.1:{plain};")
    site = site.replace("listen 443 ssl", f"listen 127.0.0.1:{secure} ssl").replace("orchestrator.example", "localhost")
    site = site.replace("/etc/ssl/orchestrator.crt", str(folder / "certificate.pem"))
    site = site.replace("/etc/ssl/orchestrator.key", str(folder / "key.pem"))
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / name).mkdir()
    own = "\n".join(f"{name}_temp_path {folder / name};" for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    text = f"""pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1; daemon off; user root;
        events {{}} http {{ access_log {folder}/access.log; client_body_temp_path {folder}/body; {own} {site} }}"""
    (folder / "nginx.conf").write_text(text)
    program = debian("nginx") / "usr" / "sbin" / "nginx"
    words = [program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"]
    with subprocess.Popen(words) as process:
        try:
            trusted = ssl.create_default_context(cafile=folder / "certificate.pem")
            yield f"https://localhost:{secure}", trusted
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.timeout(240)
def test_the_api_behind_nginx(data_dir: Path, tmp_path: Path) -> None:
    write_example(data_dir)
    words = ("--port", "0", "--data-dir", data_dir / "data", "--workflows", data_dir / "hello.yaml")
    with Program("dev", *words, "--skills", data_dir / "hello.py") as program:
        upstream = program.ready().removeprefix("http://")
        with (
            open_folder() as folder,
            nginx(folder, upstream) as (address, trusted),
            httpx.Client(base_url=address, verify=trusted, headers={"Host": "localhost"}) as client,
        ):
            eventually(lambda: answers(client), 30, "nginx answers")
            accepted = client.post("/api/v1/runs", json={"workflowName": "hello.v1", "triggerPayload": {"name": "Ada"}})
            assert accepted.status_code == 202
            run_id = accepted.json()["runId"]
            with client.stream("GET", f"/api/v1/runs/{run_id}/events/stream", timeout=60) as stream:
                found = re.findall(r"^event: (\w+)", "".join(stream.iter_text()), re.MULTILINE)
            assert found[0] == "RunTriggered"
            assert "RunCompleted" in found
            assert client.get("/metrics").status_code == 404
            assert client.get("/api/v1/health/ready").headers["Strict-Transport-Security"]


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health/live").is_success
    except httpx.TransportError:
        return False
