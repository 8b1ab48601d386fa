"""The units are valid, protect the machine, and start commands that exist."""

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from orchestrator.settings import PREFIX, Settings
from tests.downloads import ROOT, leave_out
from tests.world.programs import call

SYSTEMD = ROOT / "deploy" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))


def parsed(unit: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit, encoding="utf-8")
    return parser


def test_there_is_one_for_each_kind_of_process() -> None:
    assert [unit.name for unit in UNITS] == [
        "orchestrator-api.service",
        "orchestrator-migrate.service",
        "orchestrator-projector.service",
        "orchestrator-worker@.service",
    ]


def test_systemd_takes_them(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        leave_out("the systemd units, which systemd-analyze checks")
    program = tmp_path / "orchestrator"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace("/opt/orchestrator/bin/orchestrator", str(program))
        (tmp_path / unit.name).write_text(text)
    words = ["systemd-analyze", "verify", "--recursive-errors=no", *(tmp_path / unit.name for unit in UNITS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for unit in UNITS:
        words = ["systemd-analyze", "security", "--offline=true", "--threshold=30", tmp_path / unit.name]
        exposed = subprocess.run(words, capture_output=True, text=True, check=False)
        assert exposed.returncode == 0, exposed.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_it_starts_a_command_that_exists(unit: Path) -> None:
    program, *words = parsed(unit)["Service"]["ExecStart"].split()
    assert program == "/opt/orchestrator/bin/orchestrator"
    done = call(*words, "--help")
    assert done.code == 0, done.err


def test_it_waits_longer_than_steps_may_take_to_finish() -> None:
    grace = re.search(r"SHUTDOWN_GRACE_SECONDS=(\d+)", (SYSTEMD / "orchestrator.env.example").read_text())
    assert grace is not None
    for unit in UNITS:
        if "migrate" not in unit.name:
            service = parsed(unit)["Service"]
            assert int(service["TimeoutStopSec"]) >= int(grace[1]) + 15
            assert service["Restart"] == "always"


def test_the_example_names_settings_that_exist() -> None:
    lines = (SYSTEMD / "orchestrator.env.example").read_text(encoding="utf-8").splitlines()
    given = {line.split("=")[0] for line in lines if line and not line.startswith("#")}
    assert given <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
