"""What the processes logged: no line may come again and again, and none may tell of a fault of the program."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_MAX_A_MINUTE = 120
"""Two a second."""

_NUMBERS = re.compile(r"\d+(\.\d+)?")
_VARYING = ("time", "repeated", "request_id")
_SEVERE = frozenset({"error", "critical"})
_FORESEEN = (
    "no heartbeat written, execution stops before the lease ends",
    "event loop blocked for too long, ending",
    "run failed",
    "Cancel 1 running task(s), timeout graceful shutdown exceeded",  # uvicorn's, of requests that wait for a database
)
"""Errors that the faults of a soak bring about."""


@dataclass
class LogLines:
    """Counts the lines of logs."""

    by_minute: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    severe: Counter[str] = field(default_factory=Counter)
    stray: list[str] = field(default_factory=list)

    def read(self, folder: Path) -> None:
        """Read the logs of a folder: one file for each process."""
        for file in sorted(folder.glob("*.log")):
            with file.open(encoding="utf-8", errors="replace") as lines:
                self.count(file.stem, lines)

    def count(self, process: str, lines: Iterable[str]) -> None:
        for line in lines:
            if not line.startswith("{"):
                if line.strip():
                    self.stray.append(f"{process}: {line.rstrip()}")
                continue
            entry = json.loads(line)
            self.by_minute[process, entry["time"][:16], _signature(entry)] += 1
            if entry["level"] not in ("info", "debug"):
                self.totals[f"{entry['level']} {_NUMBERS.sub('#', entry['message'])[:110]}"] += 1
            if entry["level"] in _SEVERE:
                self.severe[_NUMBERS.sub("#", entry["message"])] += 1

    def faults(self) -> list[str]:
        """Return what was said too often, and errors that no fault of the soak explains."""
        found = [
            f"{process} logged {number} times in the minute {minute}: {signature[:300]}"
            for (process, minute, signature), number in self.by_minute.items()
            if number >= _MAX_A_MINUTE
        ]
        found += [
            f"logged {n} times as an error: {message}" for message, n in self.severe.items() if not _foreseen(message)
        ]
        found += [f"not a line of the log: {line[:300]}" for line in self.stray[:10]]
        return found

    def report(self) -> list[str]:
        """Return the warnings and errors, the most frequent first."""
        return [f"{number:6} {message}" for message, number in self.totals.most_common(20)]


def _signature(entry: Mapping[str, Any]) -> str:
    """What two lines have in common when they say the same."""
    told = {name: value for name, value in entry.items() if name not in _VARYING}
    told["message"] = _NUMBERS.sub("#", str(told["message"]))
    return json.dumps(told, sort_keys=True)


def _foreseen(message: str) -> bool:
    return any(message.startswith(_NUMBERS.sub("#", one)) for one in _FORESEEN)
