"""What the documents show can be done as they show it: every block for a shell, in Python and in YAML."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.folders import open_folder
from orchestrator.domain.workflow import Workflow
from orchestrator.skills import SkillRegistry
from orchestrator.workflows import load_file
from tests.acceptance.readme import write_example
from tests.world.programs import ROOT, Program, call, environment

FENCED = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

BACKUP = "tests/acceptance/test_backup.py backs up and restores"
NOT_HERE = {
    ("operations", "docker compose exec"): "tests/architecture/test_compose.py starts the services without Docker",
    ("deploy", "docker compose"): "tests/architecture/test_compose.py starts the services without Docker",
    ("deploy", "sudo useradd"): "tests/deploy/test_systemd.py checks the units",
    ("cells", "tests.simulation.cells"): "tests/simulation/cells plays fewer schedules",
    ("testing", "tests.simulation"): "tests/simulation runs schedules",
    ("testing", "tests.chaos"): "tests/chaos runs storms",
    ("testing", "tests.soak"): "tests/soak/test_soak.py plays each of its faults",
    ("http-api", "RUN_ID=$("): "tests/acceptance/test_readme.py runs it",
    ("backup", "pg_dump"): BACKUP,
    ("backup", "rsync -a --exclude"): BACKUP,
    ("backup", "createdb"): BACKUP,
    ("backup", "cp -a .orchestrator"): BACKUP,
    ("retention", "runs delete"): "tests/acceptance/test_runs_delete.py deletes runs",
}
"""Blocks for a shell that are not run here, by document and words in them, and where they are tested."""

STUDIO = """
workflowName: studio.v1
version: "1"
steps: [{stepId: render, skillId: text.greet, input: {name: trigger.audio.tempo}}]
changeTypes: {audio.update: {seeds: [render]}}
"""


@dataclass(frozen=True)
class Block:
    """A block of a document."""

    document: str
    text: str


def blocks(language: str) -> list[Block]:
    found = []
    for path in sorted((ROOT / "docs").glob("*.md")):
        for indent, name, text in FENCED.findall(path.read_text(encoding="utf-8")):
            if name == language:
                found.append(Block(path.stem, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)))
    return found


def named(block: Block) -> str:
    return f"{block.document}: {block.text.strip().splitlines()[0][:30]}"


def reason(block: Block) -> str | None:
    return next(
        (why for (name, words), why in NOT_HERE.items() if name == block.document and words in block.text), None
    )


RUN_HERE = [block for block in blocks("sh") if reason(block) is None]


@dataclass(frozen=True)
class Shop:
    """A folder with the files of the quick start, a server of it, and a run that completed."""

    folder: Path
    address: str
    env: dict[str, str]
    run_id: str

    def shell(self, text: str) -> "subprocess.CompletedProcess[str]":
        text = re.sub(r"\bRUN\b", self.run_id, text).replace("http://127.0.0.1:8000", self.address)
        return subprocess.run(
            [str(shutil.which("bash")), "-euo", "pipefail"],
            input=text, text=True, capture_output=True, timeout=120, check=False, cwd=self.folder, env=self.env,
        )  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with open_folder() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
        free.close()
        write_example(folder)
        (folder / "studio.yaml").write_text(STUDIO)
        (folder / "data").mkdir()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = environment({"ORCHESTRATOR_DATA_DIR": str(folder / "data"), "PATH": path})
        words = ("--workflows", folder / "hello.yaml", "--workflows", folder / "studio.yaml")
        with Program("dev", "--port", port, *words, "--skills", folder / "hello.py", env=env) as program:
            address = program.ready()
            payload = '{"audio": {"tempo": "90"}}'
            run_id = call("trigger", "studio.v1", "--payload", payload, env=env).out.strip()
            assert call("status", run_id, "--watch", env=env).code == 0
            yield Shop(folder, address, env, run_id)
            assert program.stop() == 0


@pytest.mark.parametrize("block", RUN_HERE, ids=named)
def test_a_block_for_a_shell(block: Block, shop: Shop) -> None:
    done = shop.shell(block.text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"error":"' not in done.stdout
    assert "error:" not in done.stderr


def test_what_is_not_run_here_is_there() -> None:
    left_out = [block for block in blocks("sh") if reason(block) is not None]
    assert all(any(name == block.document and words in block.text for block in left_out) for name, words in NOT_HERE)
    assert len(RUN_HERE) >= 6


def test_the_programs_of_the_client(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(shop.folder)
    blocking, awaiting = (
        block.text.replace("http://127.0.0.1:8000", shop.address)
        for block in blocks("python")
        if block.document == "client"
    )
    names: dict[str, Any] = {}
    exec(compile(blocking, "client.md", "exec"), names)
    assert names["run"]["status"] == "completed"
    assert (shop.folder / "card.html").read_text() == "<h1>Hello Ada</h1>"
    exec(compile(awaiting, "client.md", "exec"), names)
    asyncio.run(names["build"]())
    assert "RunCompleted" in capsys.readouterr().out


def test_the_skills_of_the_document_on_skills(shop: Shop) -> None:
    (python,) = (block.text for block in blocks("python") if block.document == "skills")
    declared, _ = (block.text for block in blocks("yaml") if block.document == "skills")
    (shop.folder / "music.py").write_text(python)
    (shop.folder / "declared.yaml").write_text(declared)
    registry = SkillRegistry()
    registry.load_modules([str(shop.folder / "music.py"), str(shop.folder / "declared.yaml")])
    assert registry.ids == ("audio.generate_bgm", "image.upscale", "video.transcode")
    (shop.folder / "music.yaml").write_text(
        'workflowName: music\nversion: "1"\n'
        "steps: [{stepId: bgm, skillId: audio.generate_bgm, input: {style: \"'folk'\", seconds: trigger.seconds}}]\n"
    )
    words = ("run", shop.folder / "music.yaml", "--skills", shop.folder / "music.py", "--payload")
    assert call(*words, '{"seconds": 20}', env=shop.env).code == 0
    assert "TOO_LONG: at most 600 s of music" in call(*words, '{"seconds": 700}', env=shop.env).out


def test_the_workflows_of_the_document_on_workflows(tmp_path: Path) -> None:
    (written,) = (block.text for block in blocks("yaml") if block.document == "workflows")
    (tmp_path / "flow.yaml").write_text(written)
    assert load_file(tmp_path / "flow.yaml").name == "campaign.build.v1"
    (built,) = (block.text for block in blocks("python") if block.document == "workflows")
    names: dict[str, Any] = {}
    exec(compile(built, "workflows.md", "exec"), names)
    assert isinstance(names["workflow"], Workflow)


def test_the_tests_of_the_document_on_testing(tmp_path: Path) -> None:
    module, tests, script = (block.text for block in blocks("python") if block.document == "testing-workflows")
    (tmp_path / "pages.py").write_text(module)
    (tmp_path / "test_pages.py").write_text(tests)
    (tmp_path / "script.py").write_text(script)
    words = ["-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider", "-W", "error"]
    for given, expected in ((words, "4 passed"), (["script.py"], "completed {'find': {'name': 'Ada'}, 'render'")):
        done = subprocess.run(
            [sys.executable, *given],
            capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path, env=environment(),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert expected in done.stdout
