"""Secrets: values that skills need and that must not be recorded anywhere.

A secret is looked for in the environment (`ORCHESTRATOR_SECRET_NAME`), then in a file (`/run/secrets/NAME`), then in
the providers of installed packages (entry-point group `orchestrator.secrets`). Every value that is read becomes known
to the masker of this process; see `masking`.
"""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, Protocol

from orchestrator.skills.errors import SECRET_NOT_FOUND, SkillError, describe
from orchestrator.skills.masking import MASKER, MIN_MASKED_CHARACTERS, mask
from orchestrator.skills.placeholders import NAME_RULE, SECRET_NAME
from orchestrator.skills.threads import DaemonThreads

__all__ = ["ENTRY_POINT_GROUP", "MAX_SECRET_BYTES", "SecretNotFound", "SecretProvider", "Secrets", "mask"]

ENTRY_POINT_GROUP: Final = "orchestrator.secrets"
MAX_SECRET_BYTES: Final = 65_536

_VARIABLE = "ORCHESTRATOR_SECRET_"
_FRESH_SECONDS = 30.0
_PROVIDER_SECONDS = 10.0

logger = logging.getLogger(__name__)


class SecretNotFound(SkillError):
    """No source has a secret, or the source that has it cannot be read. Another attempt may find it.

    Args:
        name: the name of the secret.
        why: where it was looked for, or why it cannot be read.
    """

    def __init__(self, name: str, why: str, *, retryable: bool = True) -> None:
        super().__init__(SECRET_NOT_FOUND, f"secret {name} {why}", retryable=retryable, details={"secret": name})


class SecretProvider(Protocol):
    """Where a package keeps secrets. The entry point names a class without arguments; it is built once a process."""

    def get(self, name: str) -> str | None:
        """Return the value of a secret, or None if this provider does not have it.

        Called from a thread, from several at the same time, with up to 10 seconds to answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Known:
    value: str
    read_at: float


class Secrets:
    """Reads secrets, and remembers their values: those of files and providers for 30 seconds. Can be pickled.

    Args:
        variables: values by name, from the environment at the start of the process.
        folder: the folder with a file for each secret; None reads no files.
        clock: returns seconds that only increase.
    """

    def __init__(
        self,
        variables: Mapping[str, str] | None = None,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._variables = dict(variables or {})
        self._folder = folder
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._threads = DaemonThreads("secrets")
        self._loading = threading.Lock()
        self._loaded: list[tuple[str, SecretProvider | str]] | None = None

    def __repr__(self) -> str:
        return f"<secrets of the environment and {self._folder}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Secrets, (self._variables, self._folder)

    def get(self, name: str) -> str:
        """Return the value of a secret. Blocks while a file or a provider is read.

        Raises:
            SecretNotFound: no source has it, its name is invalid, or its source cannot be read. The message names
                every place.
        """
        known = self._known.get(name)
        if known is not None and self._clock() - known.read_at < _FRESH_SECONDS:
            return known.value
        if not isinstance(name, str) or not SECRET_NAME.fullmatch(name):
            raise SecretNotFound(str(name)[:80], f"has an invalid name: it must be {NAME_RULE}", retryable=False)
        value = self._read(name)
        is_new = known is None or known.value != value
        self._known[name] = _Known(value, self._clock())
        if is_new and not MASKER.add(name, value):
            logger.warning(
                "secret %s has fewer than %d characters: it is not masked in errors and logs",
                name,
                MIN_MASKED_CHARACTERS,
            )
        return value

    def _read(self, name: str) -> str:
        places: list[str] = []
        for place, value in self._found(name):
            if value is not None:
                return _checked(name, value, place)
            places.append(place)
        *most, last = places
        looked = f"{', '.join(most)} and {last}" if most else last
        raise SecretNotFound(name, f"was not found; looked for {looked}")

    def _found(self, name: str) -> Iterator[tuple[str, str | None]]:
        """Yield each place, in order, with the value that it has; an empty value counts as none."""
        variable = f"{_VARIABLE}{name}"
        yield f"the variable {variable}", self._variables.get(name) or None
        if self._folder is not None:
            path = self._folder / name
            yield f"the file {path}", _read_file(name, path)
        for provider_name, provider in self._providers():
            place = f"provider {provider_name}"
            if isinstance(provider, str):
                yield f"{place} ({provider})", None
                continue
            value, fault = self._ask(provider, name)
            yield (place, value or None) if fault is None else (f"{place} ({fault})", None)

    def _ask(self, provider: SecretProvider, name: str) -> tuple[str | None, str | None]:
        """Return what a provider has, and why it cannot be asked, or None."""
        asked = self._threads.submit(provider.get, name)
        try:
            failure = asked.exception(_PROVIDER_SECONDS)
        except TimeoutError:
            return None, f"no answer within {_PROVIDER_SECONDS:g} s"
        if failure is not None:
            return None, f"failed: {_on_one_line(failure)}"
        value: Any = asked.result()
        if value is None or isinstance(value, str):
            return value, None
        return None, f"returned {type(value).__name__}, not str"

    def _providers(self) -> list[tuple[str, SecretProvider | str]]:
        """Return the providers by name, or why one cannot be used. They are loaded when one is first needed."""
        with self._loading:
            if self._loaded is None:
                self._loaded = [
                    (entry.name, _provider(entry)) for entry in sorted(entry_points(group=ENTRY_POINT_GROUP))
                ]
            return self._loaded


def _provider(entry: Any) -> SecretProvider | str:
    try:
        provider: SecretProvider = entry.load()()
    except BaseException as error:  # noqa: BLE001 - the package's own code ran here
        return f"cannot be loaded: {_on_one_line(error)}"
    return provider if callable(getattr(provider, "get", None)) else f"{entry.value} has no method get"


def _on_one_line(error: BaseException) -> str:
    return " ".join(describe(error).split())


def _read_file(name: str, path: Path) -> str | None:
    """Return the content of a file without its last line end, or None if there is no file or it is empty."""
    try:
        # O_NONBLOCK: a named pipe that nobody writes would block for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise SecretNotFound(name, f"cannot be read: {path} is not a file", retryable=False)
            content = file.read(MAX_SECRET_BYTES + len("\r\n") + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SecretNotFound(name, f"cannot be read: {path}: {error.strerror}") from error
    # Bytes that are not UTF-8 become surrogates, which `_checked` refuses.
    text = content.decode("utf-8", "surrogateescape")
    return text.removesuffix("\n").removesuffix("\r") or None


def _checked(name: str, value: str, place: str) -> str:
    """Return a value that can be used in a header or an environment; raise SecretNotFound for any other."""
    if len(value.encode("utf-8", "surrogatepass")) > MAX_SECRET_BYTES:
        fault = f"has more than {MAX_SECRET_BYTES} bytes"
    elif any("\ud800" <= each <= "\udfff" for each in value):
        fault = "is not UTF-8 text"
    elif "\0" in value:
        fault = "contains a NUL character"
    else:
        return value
    raise SecretNotFound(name, f"cannot be used: {place} {fault}", retryable=False)
