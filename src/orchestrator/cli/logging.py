"""Logging of a process: one renderer writes every line to stderr, also those of libraries."""

import logging
import sys
from datetime import datetime
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from orchestrator.cli.output.answers import real_stream
from orchestrator.cli.output.visible import visible
from orchestrator.settings import Settings
from orchestrator.skills.masking import mask
from orchestrator.telemetry.request_id import REQUEST_ID

_VERBOSE_LIBRARIES = ("httpx", "httpcore", "asyncio", "uvicorn.error")
"""Libraries whose `info` lines repeat our own."""

_OURS = "orchestrator."
_JOURNAL = "orchestrator.projections.journal"
_REDUNDANT = ("logger", "at", "position", "status", "worker", "cache_key", "trace_id", "skill")
"""Fields of the journal that are left out on a terminal, to keep lines short."""

_REDUNDANT_BY_MESSAGE = {"step started": ("workflow", "cache", "reason"), "run queued": (), "workflow registered": ()}
"""Further fields that are left out, by message. Other messages leave out the workflow: `run queued` names it."""

_MULTILINE = frozenset({"exception", "stack"})


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stderr`, because a live display replaces it for a while, but to no step's log.

    Secrets are masked.
    """

    @property
    def stream(self) -> TextIO:
        return real_stream(sys.stderr)

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """Ignore the stream that the constructor sets."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))


def configure_logging(settings: Settings, *, quiet: bool = False) -> None:
    """Set up logging for this process.

    Args:
        settings: `log_format` and `log_level`.
        quiet: log only warnings, and no events, unless a level is configured; for commands that show progress.
    """
    is_quiet = quiet and "log_level" not in settings.model_fields_set
    level = logging.WARNING if is_quiet else logging.getLevelNamesMapping()[settings.log_level.upper()]
    on_terminal = sys.stderr.isatty()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not on_terminal)
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_common_processors(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_as_json() if as_json else _as_text(colors=on_terminal, whole=level <= logging.DEBUG)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # A command that shows its run's progress would otherwise report each failure twice.
    logging.getLogger(_JOURNAL).setLevel(logging.CRITICAL if is_quiet else logging.NOTSET)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_common_processors(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _common_processors() -> list[Processor]:
    """Return the processors that add the fields common to all lines."""
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _add_request_id,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]


def _as_json() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _order_fields,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _as_text(*, colors: bool, whole: bool) -> list[Processor]:
    """Return the processors that render a line for people; `whole` keeps every field."""
    return [
        structlog.processors.format_exc_info,
        *(() if whole else (_shorten,)),
        _visible,
        structlog.dev.ConsoleRenderer(
            colors=colors,
            timestamp_key="time",
            pad_event_to=0,
            pad_level=False,
            sort_keys=False,
            exception_formatter=structlog.dev.plain_traceback,
        ),
    ]


def _visible(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Escape control characters, and line ends outside of tracebacks, so that a field cannot imitate another line."""
    return {visible(name, lines=False): _shown(name, value) for name, value in line.items()}


def _shown(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return visible(value if isinstance(value, str) else repr(value), lines=name in _MULTILINE)


def _shorten(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Remove fields that are redundant or only useful to programs. The level `debug` and JSON keep all of them."""
    ours = str(line.get("logger", "")).startswith(_OURS)
    left_out: tuple[str, ...] = ("logger",) if ours else ()
    if line.get("logger") == _JOURNAL:
        left_out = (*_REDUNDANT, *_REDUNDANT_BY_MESSAGE.get(line.get("event", ""), ("workflow",)))
    short = {name: value for name, value in line.items() if name not in left_out}
    for name, usual in (("attempt", 1), ("tenant", "default")):
        if short.get(name) == usual:
            del short[name]
    match short.get("error"):
        case {"code": code, "message": message}:
            short["error"] = f"{code}: {' '.join(message.split())}"
    if "time" in short:
        short["time"] = datetime.fromisoformat(short["time"]).astimezone().strftime("%H:%M:%S")
    return short


def _add_request_id(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Add the id of the HTTP request that is being handled."""
    request_id = REQUEST_ID.get()
    if request_id is not None:
        line.setdefault("request_id", request_id)
    return line


def _order_fields(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Put the time, the level and the message first."""
    return {**{name: line[name] for name in ("time", "level", "message") if name in line}, **line}


def _to_json(document: Any, **options: Any) -> str:
    return orjson.dumps(document, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS).decode()
