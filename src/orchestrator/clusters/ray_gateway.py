"""The gateway to a Ray cluster: a child process, because Ray ends the process that lost its cluster.

    python -m orchestrator.clusters.ray_gateway ray://HOST:PORT

It reads one JSON document a line from stdin, `{"do": "submit" | "kill" | "list", ...}`, and writes lines to stdout:
`ready`, the answer to each `list`, and what became of each attempt. It ends when stdin is closed, and with it the
attempts that it submitted: Ray's tasks end with their driver.
"""

import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import orjson

from orchestrator.clusters.entry import NotExecuted, run

_LABEL_AMOUNT = 0.0001
"""How much of a label's resource an attempt takes: the smallest amount that Ray knows."""

_LOOK_SECONDS = 0.05
_CHECK_SECONDS = 1.0
_CONNECT_SECONDS = 5.0
_GRACE_SECONDS = 5
_SILENCE_SECONDS = 10.0
"""After a call to Ray has taken this long, the cluster counts as lost. Ray's client itself tries again for longer."""

Tell = Callable[[dict[str, Any]], None]


class Gateway:
    """Submits attempts, and tells what becomes of them. Ray's client is used by one thread, this one."""

    def __init__(self, ray: Any, tell: Tell) -> None:
        self._ray = ray
        self._tell = tell
        self._run = ray.remote(run)
        self._refs: dict[str, Any] = {}
        self._waits: dict[str, dict[str, float]] = {}
        self._looked_at = time.monotonic()

    @property
    def silence_seconds(self) -> float:
        """How long ago the last call to Ray returned."""
        return time.monotonic() - self._looked_at

    def serve(self, asked: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
        """Do what is asked, until that is None. Between requests look for tasks that are done."""
        while True:
            self._looked_at = time.monotonic()
            try:
                request = asked.get(timeout=_LOOK_SECONDS if self._refs else _CHECK_SECONDS)
            except queue.Empty:
                self._look()
                continue
            if request is None:
                return
            self._do(request)
            if asked.empty():
                self._look()

    def _do(self, request: dict[str, Any]) -> None:
        name = request.get("name", "")
        match request["do"]:
            case "submit" if name not in self._refs:
                options = options_of(request["resources"], request["requires"])
                self._refs[name] = self._run.options(max_retries=0, name=f"step {name}", **options).remote(
                    request["text"]
                )
                self._waits[name] = _needs(options)
            case "kill" if name in self._refs:
                self._ray.cancel(self._refs[name], force=True)
            case "list":
                self._tell({"id": request["id"], "states": self._states()})

    def _states(self) -> dict[str, str]:
        """Return the state of each task. One whose resources nobody has waits."""
        total = self._ray.cluster_resources()
        return {
            name: "waiting"
            if any(total.get(key, 0.0) < value for key, value in self._waits[name].items())
            else "executing"
            for name in self._refs
        }

    def _look(self) -> None:
        """Tell which tasks are done. Raises ConnectionError if the cluster is lost."""
        if not self._ray.is_initialized():
            raise ConnectionError("ray is disconnected")
        if not self._refs:
            self._ray.cluster_resources()
            return
        names = {ref: name for name, ref in self._refs.items()}
        done, _ = self._ray.wait(list(names), num_returns=len(names), timeout=0, fetch_local=False)
        for ref in done:
            name = names[ref]
            del self._refs[name], self._waits[name]
            self._tell({"ended": name, **self._outcome(ref)})

    def _outcome(self, ref: Any) -> dict[str, Any]:
        try:
            self._ray.get(ref)
        except Exception as error:  # noqa: BLE001 - becomes the outcome
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, NotExecuted):
                said: dict[str, Any] = orjson.loads(str(cause))
                return {"reason": said.get("reason"), "code": said.get("code")}
            return {"reason": f"{type(cause).__name__}: {cause}"[:2000], "code": None}
        return {"reason": None, "code": None}


def options_of(resources: dict[str, float | None], requires: list[str]) -> dict[str, Any]:
    """Return Ray's options for what an attempt needs; without `cpu`, it takes one core, as Ray's tasks do."""
    options: dict[str, Any] = {"num_cpus": 1 if resources.get("cpu") is None else resources["cpu"]}
    if resources.get("gpu"):
        options["num_gpus"] = resources["gpu"]
    if resources.get("memory"):
        options["memory"] = resources["memory"]
    if requires:
        options["resources"] = dict.fromkeys(requires, _LABEL_AMOUNT)
    return options


def _needs(options: dict[str, Any]) -> dict[str, float]:
    named = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
    needs: dict[str, float] = dict(options.get("resources", {}))
    return needs | {named[key]: value for key, value in options.items() if key in named}


def main(address: str) -> None:
    """Connect, and serve until stdin is closed."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what Ray prints

    def tell(document: dict[str, Any]) -> None:
        told.write(orjson.dumps(document) + b"\n")
        told.flush()

    ray: Any = import_module("ray")
    # Ray keeps the tasks of a driver that is gone for this long; otherwise it would be 30 s.
    client: Any = import_module("ray.util.client.worker")
    client.DEFAULT_CLIENT_RECONNECT_GRACE_PERIOD = _GRACE_SECONDS
    try:
        where = urlsplit(address)
        socket.create_connection(
            (where.hostname or "", where.port or 0), _CONNECT_SECONDS
        ).close()  # Ray tries for minutes
        ray.init(address, namespace="orchestrator", log_to_driver=False, logging_level="error")
    except Exception as error:  # noqa: BLE001 - said to the adapter
        tell({"away": str(error) or type(error).__name__})
        return
    tell({"ready": ray.__version__})
    asked: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(asked,), name="requests", daemon=True).start()
    gateway = Gateway(ray, tell)

    def give_up(why: str) -> None:
        tell({"away": why})
        os._exit(1)

    def watch() -> None:
        while gateway.silence_seconds < _SILENCE_SECONDS:
            stopping.wait(_CHECK_SECONDS)
        give_up(f"no answer within {_SILENCE_SECONDS:g} s")

    stopping = threading.Event()
    threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        gateway.serve(asked)
    except Exception as error:  # noqa: BLE001 - said to the adapter, which counts the cluster as lost
        give_up(str(error) or type(error).__name__)
    ray.shutdown()


def _read(asked: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin.buffer:
        asked.put(orjson.loads(line))
    asked.put(None)


if __name__ == "__main__":
    main(sys.argv[1])
