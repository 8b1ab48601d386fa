"""Routes: FastAPI generates the OpenAPI document, and this module dispatches the requests.

An endpoint is an ordinary FastAPI function, and the OpenAPI document is generated from its signature. The dispatch is
our own, because it is stricter (it reports all faults together, rejects unknown and repeated query parameters, and
checks JSON before it is used) and takes a third of the time of FastAPI's. A signature may contain:

- `Annotated[T, Depends(function)]`: the result of `await function(request)`; the function takes only the request;
- `Annotated[T, Path() | Query() | Header()]`, with an `alias` if the name in the request is different;
- `Annotated[Model, Body()]`: the JSON body, validated strictly;
- a `Request`.

Endpoints are coroutines and return a `Response`.
"""

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

from fastapi import params
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from orchestrator.access.identity import Identity
from orchestrator.api.authentication import IDENTITY
from orchestrator.api.body import parse_json, read_body, require_json
from orchestrator.api.caller import Requires
from orchestrator.api.errors import to_faults
from orchestrator.api.models import suggestion
from orchestrator.application.errors import InvalidRequest
from orchestrator.domain.errors import Fault

# Probes and metrics are served even if all request slots are taken.
_ALWAYS = ("/api/v1/health/", "/health/", "/metrics")
_MAX_FIELDS = 100
_QUICK_BYTES = 32_768
"""Maximum size of a body that is parsed on the event loop; larger ones are parsed in a thread."""
_MAX_LETTERS = 100
# Pydantic would also accept ` 1`, `+1`, `1_0` and `1.0`.
_WHOLE = re.compile(r"-?[0-9]{1,100}")
_NO_NUL = "contains a NUL character"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter of an endpoint: its name in the function and in the request, and how its value is validated.

    `many` means that it may be repeated, `whole` that it is an integer.
    """

    name: str
    alias: str
    adapter: TypeAdapter[Any]
    default: Any
    kind: Any
    many: bool = False
    whole: bool = False


class Endpoint(APIRoute):
    """A route that serves its endpoint without FastAPI's own dispatch."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        # The method name in generated clients. The router passes None if the endpoint does not set one.
        options["operation_id"] = options.get("operation_id") or to_camel(endpoint.__name__)
        super().__init__(path, endpoint, **options)
        self._serve = endpoint
        self._is_for_probes = path.startswith(_ALWAYS)
        self.requires: Requires | None = None
        self._request: str | None = None
        self._depends: list[tuple[str, Callable[[Request], Awaitable[Any]]]] = []
        self._path: list[_Parameter] = []
        self._query: dict[str, _Parameter] = {}
        self._headers: dict[bytes, _Parameter] = {}
        self._body: _Parameter | None = None
        self._defaults: dict[str, Any] = {}
        hints = get_type_hints(endpoint, include_extras=True)
        for name, parameter in inspect.signature(endpoint).parameters.items():
            self._bind(name, hints[name], parameter.default)
        self.app = self.answer

    def _bind(self, name: str, annotation: Any, default: Any) -> None:
        """Note where the value of one parameter comes from."""
        if annotation is Request:
            self._request = name
            return
        kind, *extras = get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)
        source = next(
            (extra for extra in extras if isinstance(extra, params.Depends | params.Param | params.Body)), None
        )
        if isinstance(source, params.Depends):
            if source.dependency is None:
                raise TypeError(f"{name} of {self.path} depends on nothing")
            if isinstance(source.dependency, Requires):
                self.requires = source.dependency
            self._depends.append((name, source.dependency))
            return
        alias = getattr(source, "alias", None) or name
        many = any(get_origin(one) is list for one in (kind, *get_args(kind)))
        whole = int in (kind, *get_args(kind))
        bound = _Parameter(name, alias, TypeAdapter(annotation), default, kind, many, whole)
        if default is not inspect.Parameter.empty:
            self._defaults[name] = default
        elif isinstance(source, params.Query | params.Header):
            raise TypeError(f"{name} of {self.path} needs a default")
        match source:
            case params.Path():
                self._path.append(bound)
            case params.Query():
                self._query[alias] = bound
            case params.Header():
                self._headers[alias.lower().encode()] = bound
            case params.Body():
                self._body = bound
            case _:
                raise TypeError(f"{name} of {self.path} has no source: annotate it with Path, Query, Header or Body")

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            InvalidRequest: the request is invalid. All faults outside the body are reported together.
            RequestError, DomainError: see the endpoint.
        """
        request = Request(scope, receive, send)
        arguments = self._defaults.copy()
        for name, dependency in self._depends:  # first, so that an unauthorized caller learns nothing else
            arguments[name] = await dependency(request)
        faults: list[Fault] = []
        path_values = scope["path_params"]
        for parameter in self._path:
            _check(parameter, path_values[parameter.alias], arguments, faults)
        if scope["query_string"]:
            self._read_query(scope["query_string"], arguments, faults)
        if self._headers:
            self._read_headers(scope["headers"], arguments, faults)
        if faults:
            raise InvalidRequest(faults)
        if self._request is not None:
            arguments[self._request] = request
        if self._body is not None:
            await self._read_body(self._body, request, arguments)
        identity: Identity | None = scope.get(IDENTITY)
        if identity is None or self._is_for_probes:
            response = await self._serve(**arguments)
        else:
            with scope["app"].served.requests.slot(identity.tenant):
                response = await self._serve(**arguments)
        await response(scope, receive, send)

    def _read_query(self, query: bytes, arguments: dict[str, Any], faults: list[Fault]) -> None:
        try:
            pairs = parse_qsl(query.decode("ascii"), True, max_num_fields=_MAX_FIELDS, errors="strict")
        except ValueError:
            faults.append(Fault("query", f"cannot be read: at most {_MAX_FIELDS} parameters, percent-encoded UTF-8"))
            return
        given: dict[str, list[str]] = {}
        for alias, value in pairs:
            given.setdefault(alias, []).append(value)
        for alias, values in given.items():
            parameter = self._query.get(alias)
            if parameter is None:
                faults.append(
                    Fault(alias.replace("\0", "?"), f"is not a parameter of this endpoint{self._known(alias)}")
                )
            elif parameter.many:
                _check(parameter, values, arguments, faults)
            elif len(values) > 1:
                faults.append(Fault(alias, "is given more than once"))
            else:
                _check(parameter, values[0], arguments, faults)

    def _known(self, alias: str) -> str:
        if not self._query:
            return ", which takes none"
        close = get_close_matches(alias[:_MAX_LETTERS], self._query, n=1)
        return f"; did you mean {close[0]!r}?" if close else f"; valid parameters: {', '.join(self._query)}"

    def _read_headers(self, headers: list[tuple[bytes, bytes]], arguments: dict[str, Any], faults: list[Fault]) -> None:
        seen: set[bytes] = set()
        for name, value in headers:
            parameter = self._headers.get(name)
            if parameter is None:
                continue
            if name in seen:
                faults.append(Fault(parameter.alias, "is given more than once"))
            seen.add(name)
            _check(parameter, value.decode("latin-1"), arguments, faults)

    @staticmethod
    async def _read_body(parameter: _Parameter, request: Request, arguments: dict[str, Any]) -> None:
        body = await read_body(request)
        if not body:
            if parameter.default is inspect.Parameter.empty:
                raise InvalidRequest([Fault("body", "is missing: expected a JSON object")])
            return
        require_json(request)
        if len(body) <= _QUICK_BYTES:
            arguments[parameter.name] = _parsed(parameter, body)
        else:
            arguments[parameter.name] = await asyncio.to_thread(_parsed, parameter, body)


def _parsed(parameter: _Parameter, body: bytes) -> Any:
    """Return the parsed and validated body.

    Raises:
        InvalidRequest: the body is invalid; the error lists every fault.
    """
    try:
        return parameter.adapter.validate_python(parse_json(body), strict=True)
    except ValidationError as error:
        raise InvalidRequest(to_faults(error, hint=partial(suggestion, parameter.kind))) from error


def _check(parameter: _Parameter, value: str | list[str], arguments: dict[str, Any], faults: list[Fault]) -> None:
    """Validate a value and add it to the arguments, or add its faults to the list of faults."""
    if any("\0" in text for text in (value if isinstance(value, list) else (value,))):
        faults.append(Fault(parameter.alias, _NO_NUL))
        return
    if parameter.whole and isinstance(value, str) and not _WHOLE.fullmatch(value):
        faults.append(Fault(parameter.alias, "is not an integer in plain digits"))
        return
    try:
        arguments[parameter.name] = parameter.adapter.validate_python(value)
    except ValidationError as error:
        found = to_faults(error, parameter.alias)
        # A repeated parameter has one name, and no numbers.
        faults += [Fault(parameter.alias, fault.message) for fault in found] if parameter.many else found
