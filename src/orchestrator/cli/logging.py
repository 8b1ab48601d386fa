"""The log of a process: every line, whoever wrote it, goes through one renderer to stderr."""

import logging
import sys
from datetime import datetime
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor

from orchestrator.cli.output.visible import visible
from orchestrator.settings import Settings
from orchestrator.telemetry.request_id import REQUEST_ID

_CHATTY = ("httpx", "httpcore", "asyncio", "uvicorn.error")
"""Libraries that tell at `info` what we tell ourselves."""

_OURS = "orchestrator."
_JOURNAL = "orchestrator.projections.journal"
_FOR_PROGRAMS = ("logger", "at", "position", "status", "worker", "cache_key", "trace_id", "skill")
"""Fields of the journal that a person can do without, so that a line takes little room on a terminal."""

_ON_RECORD = {"step started": ("workflow", "cache", "reason"), "run queued": (), "workflow registered": ()}
"""What else is left out of lines of the journal, by their message: for most the workflow, which `run queued` tells."""


_WITH_LINES = frozenset({"exception", "stack"})


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever `sys.stderr` is at the time: a live display puts itself in its place."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        """The handler's constructor sets one; ours is looked up."""


def configure_logging(settings: Settings, *, quiet: bool = False) -> None:
    """Set up logging for this process.

    Args:
        settings: `log_format` and `log_level`.
        quiet: log warnings only, and no events, unless a level was asked for: for verbs that show progress themselves.
    """
    quietened = quiet and "log_level" not in settings.model_fields_set
    level = logging.WARNING if quietened else logging.getLevelNamesMapping()[settings.log_level.upper()]
    on_terminal = sys.stderr.isatty()
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not on_terminal)
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_facts(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_as_json() if as_json else _as_text(colors=on_terminal, whole=level <= logging.DEBUG)),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    # A verb that shows what happens to its run would otherwise tell each failure twice.
    logging.getLogger(_JOURNAL).setLevel(logging.CRITICAL if quietened else logging.NOTSET)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *_facts(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _facts() -> list[Processor]:
    """What every line says besides its message."""
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _request,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]


def _as_json() -> list[Processor]:
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _first_things_first,
        structlog.processors.JSONRenderer(serializer=_to_json),
    ]


def _as_text(*, colors: bool, whole: bool) -> list[Processor]:
    """Return what makes a short line of a log line; `whole` keeps every field."""
    return [
        structlog.processors.format_exc_info,
        *(() if whole else (_for_people,)),
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
    """Leave nothing in a line that a terminal would obey, or that would look like another line."""
    return {visible(name, lines=False): _shown(name, value) for name, value in line.items()}


def _shown(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return visible(value if isinstance(value, str) else repr(value), lines=name in _WITH_LINES)


def _for_people(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Leave out what the line says otherwise, or what only programs want. `debug` and JSON have all of it."""
    ours = str(line.get("logger", "")).startswith(_OURS)
    left_out: tuple[str, ...] = ("logger",) if ours else ()
    if line.get("logger") == _JOURNAL:
        left_out = (*_FOR_PROGRAMS, *_ON_RECORD.get(line.get("event", ""), ("workflow",)))
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


def _request(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Name the request in whose course a line was written."""
    request_id = REQUEST_ID.get()
    if request_id is not None:
        line.setdefault("request_id", request_id)
    return line


def _first_things_first(_logger: Any, _method: str, line: EventDict) -> EventDict:
    """Put what people look for at the beginning of the line."""
    return {**{name: line[name] for name in ("time", "level", "message") if name in line}, **line}


def _to_json(document: Any, **options: Any) -> str:
    return orjson.dumps(document, default=options.get("default"), option=orjson.OPT_NON_STR_KEYS).decode()
