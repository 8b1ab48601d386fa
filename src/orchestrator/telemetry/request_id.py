"""The id of the request that is served: the caller's own, or one made here. In the log lines and in the answer."""

import itertools
import re
from contextvars import ContextVar
from secrets import token_hex

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this task serves; None outside of one."""

_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_PREFIX = token_hex(6)
_numbers = itertools.count(1)


def request_id(given: bytes | None) -> str:
    """Return the id for a request: what the caller gave if that is short and plain, else a new one."""
    if given is not None and _SANE.fullmatch(given):
        return given.decode("ascii")
    return f"{_PREFIX}-{next(_numbers):x}"
