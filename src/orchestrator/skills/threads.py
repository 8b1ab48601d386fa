"""Threads for blocking skills: one for each call, none of which keeps the process from exiting."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class DaemonThreads(Executor):
    """An executor that always has a thread for the next call: an idle one, or a new daemon thread.

    A bounded pool is not enough here: a skill that ignores cancellation would occupy one of its threads forever, and
    keep the process from exiting. The caller limits how many calls run at the same time.

    Args:
        name: the name of the threads.
        idle_seconds: how long a thread waits for its next call before it ends.
    """

    def __init__(self, name: str = "skill", idle_seconds: float = 10.0) -> None:
        self._name = name
        self._idle_seconds = idle_seconds
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._idle = threading.Semaphore(0)  # one permit per idle thread; a call takes one

    def submit(
        self,
        function: Callable[Arguments, Result],
        /,
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> "Future[Result]":
        """Start the call immediately.

        Raises:
            RuntimeError: the operating system cannot start another thread.
        """
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()

        def call() -> None:
            try:
                result = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - carried by the future
                future.set_exception(error)
            else:
                future.set_result(result)

        if self._idle.acquire(blocking=False):
            self._calls.put(call)
        else:
            threading.Thread(target=self._work, args=(call,), name=self._name, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Do nothing: idle threads end by themselves, and busy ones are not waited for."""

    def _work(self, call: Callable[[], None]) -> None:
        while True:
            call()
            del call  # otherwise an idle thread would keep its last input alive
            self._idle.release()
            try:
                call = self._calls.get(timeout=self._idle_seconds)
            except Empty:
                if self._idle.acquire(blocking=False):
                    return
                call = self._calls.get()  # our permit was just taken, so a call is coming
