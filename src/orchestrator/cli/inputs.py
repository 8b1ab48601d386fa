"""Parse what users enter: payloads, labels, run ids, ages, sizes, times and settings."""

import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from orchestrator.cli.complaint import Complaint
from orchestrator.cli.options import Target
from orchestrator.domain.bounds import MAX_AGE_SECONDS, MAX_BYTES
from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.exact import read_exactly
from orchestrator.settings import Settings, load_settings

_AMOUNT = re.compile(r"(?P<number>[0-9]{1,15}(\.[0-9]{1,9})?) ?(?P<unit>[A-Za-z]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_PAYLOAD_FORMS = (
    "A payload is a JSON object: --payload '{\"name\": 1}', --payload @file.json, or --payload - for stdin."
)
_EACH_FORM = 'Each line is one JSON object: {"name": 1}'


def read_settings(*, need_data: bool = False, **given: Any) -> Settings:
    """Return the settings. Options of the command line override the environment.

    Args:
        need_data: fail if there is no data directory yet and no database is configured, instead of creating an
            empty one. Also fail if only a server is configured.
        **given: settings by name; None means not given.

    Raises:
        Complaint: there is no data, or only a server is configured.
        SettingsError: a value is invalid.
    """
    settings = load_settings(**given)
    if need_data and settings.server and settings.database_url is None and given.get("data_dir") is None:
        raise Complaint(
            "This command works on the data itself and cannot use the server in ORCHESTRATOR_SERVER",
            "Give the data directory with --data-dir, or unset ORCHESTRATOR_SERVER.",
        )
    if need_data and settings.database_url is None and not settings.data_dir.is_dir():
        raise Complaint(
            f"Data directory not found: {settings.data_dir}",
            "Give it with --data-dir, or create one with `orchestrator dev`.",
        )
    return settings


def names_server(target: Target) -> bool:
    """Return whether an option or a setting selects a server.

    Raises:
        Complaint: both a server and a data directory are given, or a key without a server.
        SettingsError: a setting is invalid.
    """
    if target.data_dir is not None and target.server is not None:
        raise Complaint("--server and --data-dir cannot both be given", "Give only one of them.")
    named = target.data_dir is None and load_settings(server=target.server).server is not None
    if target.key is not None and not named:
        raise Complaint("--key needs a server, and none is given", "Set --server or ORCHESTRATOR_SERVER.")
    return named


def read_payload(given: str | None) -> dict[str, Any]:
    """Return the payload of an option: a JSON object, `@file`, or `-` for stdin. None is an empty payload.

    Raises:
        Complaint: it is not a JSON object, or its file cannot be read.
    """
    if given is None:
        return {}
    text, source = _text(given)
    payload = _parse(text, source, _PAYLOAD_FORMS)
    if not isinstance(payload, dict):
        raise Complaint(f"{source} is JSON but not an object", _PAYLOAD_FORMS)
    return payload


def read_each(file: Path, payload: str | None) -> list[dict[str, Any]]:
    """Return the payloads in a file, one JSON object per line. Empty lines are skipped.

    Raises:
        Complaint: the file cannot be read or has no payload, a line is not a JSON object, or --payload is given too.
    """
    if payload is not None:
        raise Complaint("--payload and --each cannot both be given", "Put the payload on a line of the file.")
    text, source = _text("-" if str(file) == "-" else f"@{file}")
    payloads = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        one = _parse(line, f"{source}: line {number}", _EACH_FORM)
        if not isinstance(one, dict):
            raise Complaint(f"{source}: line {number} is JSON but not an object", _EACH_FORM)
        payloads.append(one)
    if not payloads:
        raise Complaint(f"{source} is empty", _EACH_FORM)
    return payloads


def _parse(text: str, source: str, forms: str) -> Any:
    try:
        text.encode()
        return read_exactly(text)
    except UnicodeEncodeError as error:  # bytes that are not UTF-8 on the command line or on stdin
        raise Complaint(f"{source} is not UTF-8 text, at character {error.start + 1}", forms) from error
    except InputNotCanonical as error:
        where = str(error.details["path"]).removeprefix("$.")
        raise Complaint(f"{source} is invalid: {where}: {error.details['reason']}", forms) from error
    except (ValueError, RecursionError) as error:
        raise Complaint(f"{source} is not JSON: {error}", forms) from error


def _text(given: str) -> tuple[str, str]:
    """Return the text of a payload and its name for error messages."""
    if given == "-":
        return sys.stdin.read(), "The payload on stdin"
    if not given.startswith("@"):
        return given, "The payload"
    if given == "@":
        raise Complaint("--payload @ names no file", _PAYLOAD_FORMS)
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8-sig"), f"The payload file {path}"
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Complaint(f"Cannot read the payload file {path}: {cause}", _PAYLOAD_FORMS) from error


def read_labels(given: list[str] | None) -> dict[str, str]:
    """Return the labels that `key=value` words define.

    Raises:
        Complaint: a word does not have this form.
    """
    labels = {}
    for word in given or ():
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise Complaint(f"Invalid label {word!r}", "Write a label as --label key=value.")
        labels[key] = value
    return labels


def read_run_id(given: str) -> str:
    """Return a run's id in canonical form.

    Raises:
        Complaint: it is not a UUID.
    """
    try:
        return str(UUID(given))
    except ValueError:
        raise Complaint(
            f"Invalid run id {given!r}",
            "A run id looks like 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d; list runs with `orchestrator runs list`.",
        ) from None


def require_yes(question: str, *, yes: bool) -> None:
    """Ask a question on the terminal unless `yes` is given.

    Raises:
        Complaint: nobody can answer, or the answer is not yes.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Complaint("Nobody is there to confirm it", "Add --yes.")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Complaint("Not confirmed", "Nothing was changed.")


def require_place(keys: Sequence[str], workflow: str | None, step: str | None) -> None:
    """Check that keys or a workflow select the results to invalidate.

    Raises:
        Complaint: nothing selects them, or a step is given without its workflow.
    """
    if workflow is None and (step is not None or not keys):
        raise Complaint(
            "--step needs --workflow" if step is not None else "No results given",
            "Give --key (`orchestrator cache list` shows keys), or --workflow NAME and optionally --step STEP.",
        )


def read_limits(older_than: str | None, max_entries: int | None, max_size: str | None) -> dict[str, Any]:
    """Return the arguments of `CacheCalls.prune`.

    Raises:
        Complaint: no limit is given, or one is invalid.
    """
    if older_than is None and max_entries is None and max_size is None:
        raise Complaint("No limit given", "Give --older-than 30d, --max-entries 10000 or --max-size 10GB.")
    maximum = (MAX_BYTES, "9007TB")
    return {
        "older_than_seconds": None if older_than is None else read_age(older_than),
        "max_entries": max_entries,
        "max_bytes": None
        if max_size is None
        else round(_amount(max_size, _BYTES, "size", "500kB, 10GB or 2GiB", maximum)),
    }


def read_age(given: str) -> float:
    """Return an age in seconds. Raise Complaint if it is invalid or exceeds 36,500 days."""
    return _amount(given, _SECONDS, "age", "90s, 45m, 12h or 30d", (MAX_AGE_SECONDS, "36500d"))


def _amount(given: str, units: Mapping[str, int], what: str, forms: str, maximum: tuple[int, str]) -> float:
    """Return an amount in the smallest unit; `maximum` is the largest allowed one, as a number and as text."""
    found = _AMOUNT.fullmatch(given.strip())
    if found is None or found["unit"].lower() not in units:
        raise Complaint(f"Invalid {what} {given!r}", f"Write it like {forms}.")
    amount = float(found["number"]) * units[found["unit"].lower()]
    if amount > maximum[0]:
        raise Complaint(f"The {what} {given!r} is too large", f"The maximum is {maximum[1]}.")
    return amount


def read_since(given: str) -> str:
    """Return the RFC 3339 time of an age (before now) or a time. Raise Complaint if it is neither."""
    if _AMOUNT.fullmatch(given.strip()):
        at = datetime.now(UTC).timestamp() - read_age(given)
    else:
        try:
            at = read_time(given) / 1000
        except Complaint:
            raise Complaint(
                f"Invalid age or time {given!r}", "Write it like 45m, 12h or 30d, or like 2026-01-31T12:00:00Z."
            ) from None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_time(given: str) -> int:
    """Return a time in milliseconds since 1970 UTC.

    Raises:
        Complaint: it is not a date, or a time with an offset.
    """
    text = given.strip().upper()
    with suppress(ValueError, OverflowError):
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None or _DATE.fullmatch(text):
            return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
    raise Complaint(
        f"Invalid time {given!r}", "Write it like 2026-01-31T12:00:00Z, or 2026-01-31 for the start of that day in UTC."
    )
