"""Whether a store can be used again after it was unavailable: a thread probes it, and nobody waits for the answer."""

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0


class Outage:
    """Remembers that a store is unavailable until a probe succeeds.

    Args:
        probe: raises OSError while the store is unavailable. It may take its time.
    """

    def __init__(self, probe: Callable[[], None]) -> None:
        self._probe = probe
        self._reason: str | None = None
        self._probing: threading.Thread | None = None
        self._probed_at = 0.0
        self._lock = threading.Lock()

    def begin(self, reason: str) -> None:
        """Remember that the store is unavailable, and why."""
        self._reason = reason

    def reason(self) -> str | None:
        """Return why the store is unavailable, or None. Never waits: a probe that is due starts in a thread."""
        if self._reason is None:
            return None
        with self._lock:
            is_probing = self._probing is not None and self._probing.is_alive()
            if not is_probing and time.monotonic() - self._probed_at >= _PAUSE_SECONDS:
                self._probing = threading.Thread(target=self._look, name="artifact-store-probe", daemon=True)
                self._probing.start()
        return self._reason

    def _look(self) -> None:
        try:
            self._probe()
        except OSError as error:
            self._reason = str(error)
        except Exception as error:  # any other fault is no proof that it works
            logger.exception("artifact store could not be probed")
            self._reason = f"{type(error).__name__}: {error}"
        else:
            self._reason = None
        finally:
            self._probed_at = time.monotonic()
