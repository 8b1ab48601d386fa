"""The lines that the README shows for a shell work as they stand, one after the other."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

from tests.acceptance.readme import ROOT, blocks, lines_of_http_api, write_example
from tests.world.programs import environment

PORT = "8000"


def test_the_quick_start_can_be_pasted_into_a_shell(home: Path) -> None:
    write_example(home)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", ".venv/bin"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).symlink_to(ROOT / name)
    (home / ".venv" / ".installed").touch()  # so that there is nothing to install
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    lines = [*blocks("sh"), lines_of_http_api()]
    assert "kill" in lines[-2]
    lines[-2:] = [lines[-1], lines[-2]]  # what the other document shows, before the server is stopped
    text = "".join(lines).replace(PORT, port)
    assert not re.search(r"RUN_ID(?!=)", re.sub(r"\$RUN_ID|\$\{RUN_ID\}", "", text)), "a word that is no variable"

    shell = subprocess.run(
        [str(shutil.which("bash")), "-e"],
        input=text,
        text=True,
        capture_output=True,
        timeout=150,
        check=False,
        cwd=home,
        env=environment({"ORCHESTRATOR_DATA_DIR": str(home), "ORCHESTRATOR_PORT": port}),
    )

    assert shell.returncode == 0, shell.stdout + shell.stderr
    for told in ("completed after", "Hello Ada", "card.html", "RunCompleted", "ready http://"):
        assert told in shell.stdout, shell.stdout + shell.stderr
    assert '"error"' not in shell.stdout.replace('"error":null', "")
