"""What users hand over: payloads, labels, run ids, settings."""

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
    """Return the settings: options of the command line win over the environment.

    Args:
        need_data: complain when there is no data directory yet (and no database is configured), instead of
            making an empty one.
        **given: settings by name; None means not given.

    Raises:
        Complaint: there is no data.
        SettingsError: a value cannot be used.
    """
    settings = load_settings(**given)
    if need_data and settings.server and settings.database_url is None and given.get("data_dir") is None:
        raise Complaint(
            "This verb does not ask a server, and ORCHESTRATOR_SERVER names one",
            "Say with --data-dir where the data is, or unset ORCHESTRATOR_SERVER.",
        )
    if need_data and settings.database_url is None and not settings.data_dir.is_dir():
        raise Complaint(
            f"There is no data directory {settings.data_dir}",
            "Name it with --data-dir, or begin one with `orchestrator dev`.",
        )
    return settings


def names_server(target: Target) -> bool:
    """Say whether a server is to be asked, by an option or by the settings.

    Raises:
        Complaint: two places are named, or a key for a server that is not.
        SettingsError: a setting has a value that cannot be used.
    """
    if target.data_dir is not None and target.server is not None:
        raise Complaint("--server and --data-dir name two places to ask", "Give one of them.")
    named = target.data_dir is None and load_settings(server=target.server).server is not None
    if target.key is not None and not named:
        raise Complaint("--key is for a server, and none is named", "Name it with --server or ORCHESTRATOR_SERVER.")
    return named


def read_payload(given: str | None) -> dict[str, Any]:
    """Return the payload that an option stands for.

    Raises:
        Complaint: it is no JSON object, or its file cannot be read.
    """
    if given is None:
        return {}
    text, source = _text(given)
    payload = _parse(text, source, _PAYLOAD_FORMS)
    if not isinstance(payload, dict):
        raise Complaint(f"{source} is JSON but no object", _PAYLOAD_FORMS)
    return payload


def read_each(file: Path, payload: str | None) -> list[dict[str, Any]]:
    """Return the payloads of a file, one JSON object a line; empty lines are passed over.

    Raises:
        Complaint: the file cannot be read, a line is no object, there is none, or a payload is given besides.
    """
    if payload is not None:
        raise Complaint("--payload and --each cannot both be given", "Put the payload in a line of the file.")
    text, source = _text("-" if str(file) == "-" else f"@{file}")
    payloads = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        one = _parse(line, f"{source}: line {number}", _EACH_FORM)
        if not isinstance(one, dict):
            raise Complaint(f"{source}: line {number} is JSON but no object", _EACH_FORM)
        payloads.append(one)
    if not payloads:
        raise Complaint(f"{source} is empty", _EACH_FORM)
    return payloads


def _parse(text: str, source: str, forms: str) -> Any:
    try:
        text.encode()
        return read_exactly(text)
    except UnicodeEncodeError as error:  # what is not UTF-8 on the command line or on stdin
        raise Complaint(f"{source} is not UTF-8 text, at character {error.start + 1}", forms) from error
    except InputNotCanonical as error:
        where = str(error.details["path"]).removeprefix("$.")
        raise Complaint(f"{source} cannot be used: {where}: {error.details['reason']}", forms) from error
    except (ValueError, RecursionError) as error:
        raise Complaint(f"{source} is not JSON: {error}", forms) from error


def _text(given: str) -> tuple[str, str]:
    """Return the text of a payload and what to call it."""
    if given == "-":
        return sys.stdin.read(), "The payload on stdin"
    if not given.startswith("@"):
        return given, "The payload"
    path = Path(given[1:])
    try:
        return path.read_text(encoding="utf-8-sig"), f"The payload file {path}"
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise Complaint(f"The payload file {path} cannot be read: {cause}", _PAYLOAD_FORMS) from error


def read_labels(given: list[str] | None) -> dict[str, str]:
    """Return labels from `key=value` words.

    Raises:
        Complaint: a word is none.
    """
    labels = {}
    for word in given or ():
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise Complaint(f"The label {word!r} cannot be used", "A label is written --label key=value.")
        labels[key] = value
    return labels


def read_run_id(given: str) -> str:
    """Return a run's id in its usual form.

    Raises:
        Complaint: it is no UUID.
    """
    try:
        return str(UUID(given))
    except ValueError:
        raise Complaint(
            f"{given!r} is not the id of a run",
            "An id looks like 0197a6c2-1b7e-7c42-9d5c-2f3e8a1b4c5d; `orchestrator runs list` shows them.",
        ) from None


def require_place(keys: Sequence[str], workflow: str | None, step: str | None) -> None:
    """Accept what results are to be withdrawn by.

    Raises:
        Complaint: nothing is named, or a step without its workflow.
    """
    if workflow is None and (step is not None or not keys):
        raise Complaint(
            "A step is known by its workflow only" if step is not None else "No results given",
            "Name keys with --key (`orchestrator cache list` shows them), or --workflow NAME and optionally --step.",
        )


def read_limits(older_than: str | None, max_entries: int | None, max_size: str | None) -> dict[str, Any]:
    """Return the limits of a prune, as `CacheCalls.prune` takes them.

    Raises:
        Complaint: there are none, or one cannot be read.
    """
    if older_than is None and max_entries is None and max_size is None:
        raise Complaint(
            "There is no limit to prune to", "Give --older-than 30d, --max-entries 10000 or --max-size 10GB."
        )
    most = (MAX_BYTES, "9007TB")
    return {
        "older_than_seconds": None if older_than is None else read_age(older_than),
        "max_entries": max_entries,
        "max_bytes": None
        if max_size is None
        else round(_amount(max_size, _BYTES, "size", "500kB, 10GB or 2GiB", most)),
    }


def read_age(given: str) -> float:
    """Return an age in seconds, up to 36,500 days; raises Complaint when it cannot be read or is longer."""
    return _amount(given, _SECONDS, "age", "90s, 45m, 12h or 30d", (MAX_AGE_SECONDS, "36500d"))


def _amount(given: str, units: Mapping[str, int], what: str, forms: str, most: tuple[int, str]) -> float:
    """Return a number with a unit in the smallest unit; `most` is the largest there is, and how it is written."""
    found = _AMOUNT.fullmatch(given.strip())
    if found is None or found["unit"].lower() not in units:
        raise Complaint(f"{given!r} is no {what}", f"It is written like {forms}.")
    amount = float(found["number"]) * units[found["unit"].lower()]
    if amount > most[0]:
        raise Complaint(f"{given!r} is too large for the {what}", f"It may be at most {most[1]}.")
    return amount


def read_time(given: str) -> int:
    """Return a time in milliseconds since 1970 UTC.

    Raises:
        Complaint: it is none.
    """
    text = given.strip().upper()
    with suppress(ValueError, OverflowError):
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None or _DATE.fullmatch(text):
            return round(time.replace(tzinfo=time.tzinfo or UTC).timestamp() * 1000)
    raise Complaint(
        f"{given!r} is no time", "It is written like 2026-01-31T12:00:00Z, or 2026-01-31 for its beginning in UTC."
    )
