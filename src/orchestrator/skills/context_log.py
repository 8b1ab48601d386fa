"""The logger behind `ctx.log`: each line goes to the log of the attempt and to the log of the process."""

import sys
import traceback
from functools import partial
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from orchestrator.skills.logs import StepLog
from orchestrator.skills.standard_streams import outside

_NAME = "orchestrator.skill"
_LEVELS = {"exception": "error", "warn": "warning", "fatal": "critical"}


def bound_logger(log: StepLog | None, **fields: Any) -> FilteringBoundLogger:
    """Return a structured logger with these fields. `log`, if given, keeps its lines, whatever the level."""
    if log is None:
        return cast("FilteringBoundLogger", structlog.get_logger(_NAME).bind(**fields))
    keep = partial(_keep, log, frozenset(fields))
    processors = [keep, *structlog.get_config()["processors"]]
    # Without configuration, as in a child process, structlog would print to stdout, which is a log of its own.
    target = None if structlog.is_configured() else structlog.PrintLogger(outside(sys.stderr))
    logger = structlog.wrap_logger(target, processors=processors, logger_factory_args=(_NAME,))
    return cast("FilteringBoundLogger", logger.bind(**fields))


def _keep(log: StepLog, bound: frozenset[str], _logger: Any, method: str, line: EventDict) -> EventDict:
    """Keep a line as `level message field=value ...`, and return it for the other processors."""
    message = str(line.get("event", ""))
    if arguments := line.get("positional_args"):
        message = message % arguments
    hidden = bound | {"event", "exc_info", "positional_args", "stack_info"}
    words = [_LEVELS.get(method, method), message]
    words += [f"{name}={_shown(value)}" for name, value in line.items() if name not in hidden]
    text = " ".join(words)
    failure = line.get("exc_info") or (method == "exception")
    if failure:
        text += "\n" + _traceback(failure)
    log.line("log", text)
    return line


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() and " " not in value and value else repr(value)


def _traceback(failure: Any) -> str:
    if isinstance(failure, BaseException):
        error: BaseException | None = failure
    else:
        error = failure[1] if isinstance(failure, tuple) else sys.exc_info()[1]
    return "" if error is None else "".join(traceback.format_exception(error)).rstrip("\n")
