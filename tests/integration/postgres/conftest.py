"""Other processes that use the same Postgres."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

USER = Path(__file__).with_name("embedded_user.py")


@dataclass
class User:
    """A process of its own with the Postgres of a data directory in use."""

    process: "subprocess.Popen[str]"

    @cached_property
    def found(self) -> dict[str, Any]:
        """What it said once it was connected: `conninfo`, `pid`, `started_by_us`."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        return dict(json.loads(line))

    @property
    def pid(self) -> int:
        return int(self.found["pid"])

    @property
    def conninfo(self) -> str:
        return str(self.found["conninfo"])

    @property
    def started_by_us(self) -> bool:
        return bool(self.found["started_by_us"])

    def leave(self) -> None:
        """Go in order. Nothing may have been printed, and no warning given."""
        said, complaints = self.process.communicate("\n", timeout=60)
        assert (self.process.returncode, said, complaints) == (0, "", "")

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def start_user() -> Iterator[Callable[[Path], User]]:
    """Start a user of a data directory; it connects in the background until `found` is asked."""
    users: list[User] = []

    def start(data_dir: Path) -> User:
        words = [sys.executable, "-W", "error", str(USER), str(data_dir)]
        pipe = subprocess.PIPE
        users.append(User(subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)))
        return users[-1]

    yield start
    for user in users:
        if user.process.poll() is None:
            user.found  # noqa: B018 - let it start, so that it also stops what it started
            user.process.communicate("\n", timeout=60)
