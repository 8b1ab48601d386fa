"""Request ids, given by the client or generated here. They appear in log lines and in the response."""

import itertools
import re
from contextvars import ContextVar
from secrets import token_hex

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that the current task serves, or None."""

_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_PREFIX = token_hex(6)
_numbers = itertools.count(1)


def request_id(given: bytes | None) -> str:
    """Return the id for a request: the one given by the client if it is valid, otherwise a new one.

    A valid id has at most 128 characters, only letters, digits and `._:/+=@-`.
    """
    if given is not None and _SANE.fullmatch(given):
        return given.decode("ascii")
    return f"{_PREFIX}-{next(_numbers):x}"
