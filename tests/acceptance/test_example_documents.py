"""The documents example does what its README says: logs, a secret, a failure shown, a change, tests, a restore."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import eventually
from tests.world.programs import ROOT, Program, call

EXAMPLE = ROOT / "examples" / "documents"
KEY = "open-sesame-4711"


@contextmanager
def service(folder: Path) -> Iterator[str]:
    """The service of the example on a free port; yields its address."""
    out = folder / "service.out"
    with out.open("w") as said:
        words = [sys.executable, str(EXAMPLE / "service.py"), "0"]
        env = {**os.environ, "DOCUMENTS_KEY": KEY, "DOCUMENTS_BUSY": "1"}
        with subprocess.Popen(words, stdout=said, env=env) as process:
            try:
                address = eventually(out.read_text, what="the service is up").split()[-1]
                yield address
            finally:
                process.kill()


def declarations(folder: Path, address: str) -> Path:
    """The declarations of the example, for a service at this address."""
    text = (EXAMPLE / "services.yaml").read_text().replace("http://127.0.0.1:8765", address)
    (folder / "services.yaml").write_text(text)
    shutil.copy(EXAMPLE / "typeset.py", folder)
    return folder / "services.yaml"


def is_nowhere(secret: str, folder: Path, *texts: str) -> bool:
    found = [path for path in folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    return not found and not any(secret in text for text in texts)


def test_a_visit(home: Path) -> None:
    data, payload = home / "data", f"@{EXAMPLE / 'text.json'}"
    with service(home) as address:
        sources = ("--skills", EXAMPLE / "skills.py", "--skills", declarations(home, address))
        words = ("dev", "--port", "0", "--data-dir", data, "--workflows", EXAMPLE / "documents.build.v1.yaml", *sources)
        secret = {"ORCHESTRATOR_SECRET_DOCUMENTS_KEY": KEY}
        with Program(*words, env=secret) as program:
            env: Mapping[str, str] = {"ORCHESTRATOR_SERVER": program.ready()}
            made = call("trigger", "documents.build.v1", "--payload", payload, "--wait", env=env)
            assert made.code == 0, made.err
            run_id = made.out.strip()

            assert call("outputs", "@last", "publish", env=env).document["url"].startswith("https://publications.")
            logs = call("logs", "@last", env=env).out
            for line in ("read_source │ 3 sections", "typeset │ typeset Recovery", "check_page │ found   Events"):
                assert line in logs
            assert "attempt 1 failed" in call("steps", run_id[:8], env=env).out
            copied = call("artifacts", "@last", "--download", home / "made", "--json", env=env).document["artifacts"]
            assert {Path(one["path"]).name for one in copied} >= {"publication.zip", "index.html", "cover.svg"}

            again = call("trigger", "documents.build.v1", "--payload", payload, "--wait", "--json", env=env)
            counts = again.document["stepsSummary"]
            assert (counts["skipped"], counts["completed"]) == (10, 1), "only publish is not cached"
            french = ("update", run_id, "payload.patch", "--payload", '{"language": "fr"}')
            counts = call(*french, "--plan", "--json", env=env).document["counts"]
            assert counts == {"run": 1, "may_run": 4, "reuse": 6, "omit": 0}
            assert call(*french, "--wait", env=env).code == 0

            shown = program.out + program.err + logs
            assert program.stop() == 0
    assert is_nowhere(KEY, home / "made", shown)
    assert is_nowhere(KEY, data)

    subprocess.run(["cp", "-a", data, home / "moved"], check=True)
    shutil.rmtree(data)
    verified = call("audit", "verify", "--strict", "--data-dir", home / "moved")
    assert verified.code == 0, verified.err
    assert "no findings" in verified.out


def test_without_the_secret_nothing_starts(home: Path) -> None:
    words = ("--skills", EXAMPLE / "skills.py", "--skills", declarations(home, "http://127.0.0.1:9"))
    refused = call("dev", "--port", "0", "--data-dir", home / "data", *words)
    assert refused.code != 0
    assert "DOCUMENTS_KEY" in refused.err
    assert "documents.summarize" in refused.err


def test_the_reason_is_shown_when_the_service_is_not_there(home: Path) -> None:
    sources = ("--skills", EXAMPLE / "skills.py", "--skills", declarations(home, "http://127.0.0.1:9"))
    env = {"ORCHESTRATOR_SECRET_DOCUMENTS_KEY": KEY}
    words = ("run", EXAMPLE / "documents.build.v1.yaml", "--payload", f"@{EXAMPLE / 'text.json'}", *sources)
    failed = call(*words, "--json", "--data-dir", home / "data", env=env)
    assert failed.code == 1
    error = failed.document["error"]
    assert error["failedStepId"] == "summarize"
    assert "cannot be reached" in error["message"]
    assert KEY not in json.dumps(failed.document)


def test_its_tests_pass() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout
