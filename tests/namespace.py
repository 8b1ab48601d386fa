"""A network namespace with a veth pair whose link can go down: a dead network, made by the kernel."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_network

from orchestrator.postgres.embedded.account import Account

_PREFIX = "orch"
_RANGE = ip_network("198.18.0.0/16")  # set aside for tests (RFC 2544)

_NOBODY = "02:00:00:00:00:01"


class Unavailable(Exception):
    """No namespace can be made here; says why."""


class Namespace:
    """A namespace and the cable to it. While the cable is down, nothing that is sent comes back, not even a refusal."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.here = f"{name}h"
        self.there = f"{name}t"
        first = _RANGE.network_address + 4 * (number % (1 << 14))
        self.network = f"{first}/30"
        self.near_address, self.address = str(first + 1), str(first + 2)

    @property
    def within(self) -> tuple[str, ...]:
        """Words before a command that is to run inside, as the user of root's Postgres."""
        account = Account.service()
        return ("nsenter", f"--net=/run/netns/{self.name}", "-S", str(account.uid), "-G", str(account.gid), "--")

    def cut(self, *, far: bool = False) -> None:
        """Take the link down, at this end or at the far one (then this machine still thinks there is a way)."""
        self._link("down", far=far)

    def mend(self) -> None:
        """Put the link up, at both ends."""
        for far in (False, True):
            self._link("up", far=far)

    def dig_hole(self) -> None:
        """Lay a second cable, on which packets go when the first has no way: to a card that is nobody's.

        Otherwise they would leave the machine by its default route.
        """
        near, far = f"{self.name}o", f"{self.name}p"
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", self.name)
        _ip("link", "set", near, "up")
        _ip("-n", self.name, "link", "set", far, "up")
        _ip("neighbour", "add", self.address, "lladdr", _NOBODY, "dev", near, "nud", "permanent")
        _ip("route", "add", self.network, "dev", near, "src", self.near_address, "metric", "9999")

    def _link(self, state: str, *, far: bool) -> None:
        inside = ("-n", self.name) if far else ()
        _ip(*inside, "link", "set", self.there if far else self.here, state)


@contextmanager
def open_namespace() -> Iterator[Namespace]:
    """Make a namespace and a cable to it; both are gone afterwards, also those that a killed process left.

    Raises:
        Unavailable: it takes root, and a kernel that has namespaces and veth.
    """
    if os.geteuid() != 0:
        raise Unavailable("only root can make a network namespace")
    remove_orphans()
    made = Namespace(f"{_PREFIX}{os.getpid()}", os.getpid())
    try:
        try:
            _ip("netns", "add", made.name)
            _ip("link", "add", made.here, "type", "veth", "peer", "name", made.there, "netns", made.name)
            _ip("address", "add", f"{made.near_address}/30", "dev", made.here)
            _ip("-n", made.name, "address", "add", f"{made.address}/30", "dev", made.there)
            _ip("-n", made.name, "link", "set", "lo", "up")
            made.mend()
            made.dig_hole()
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"no network namespace can be made: {getattr(error, 'stderr', None) or error}") from error
        yield made
    finally:
        _remove(made.name)


def remove_orphans() -> None:
    """Remove the namespaces of processes that are gone."""
    try:
        listed = _ip("netns", "list")
    except (OSError, subprocess.CalledProcessError):
        return
    for name, pid in re.findall(rf"^({_PREFIX}(\d+))\b", listed, re.MULTILINE):
        if not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - no file
            _remove(name)


def _remove(name: str) -> None:
    for words in (("link", "delete", f"{name}h"), ("netns", "delete", name)):
        with suppress(OSError, subprocess.CalledProcessError):
            _ip(*words)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
