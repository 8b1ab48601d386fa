"""Encodes request bodies as JSON, with an error that names the invalid field."""

import json
import math
from typing import Any

from orchestrator.client.errors import InvalidRequest


def encoded(body: Any) -> bytes:
    """Return a body as JSON text.

    Raises:
        InvalidRequest: it contains a value that JSON cannot represent; `details["faults"]` says where. Nothing was
            sent.
    """
    try:
        return json.dumps(body, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        path, why = _fault(body, "") or ("body", str(error))
        faults = [{"path": path, "message": why}]
        message = f"the request is not valid: {path}: {why}"
        raise InvalidRequest(400, "VALIDATION_ERROR", message, {"faults": faults}) from error


def _fault(value: Any, path: str, depth: int = 0) -> tuple[str, str] | None:
    """Return the path of the first value that JSON cannot represent, and the reason."""
    match value:
        case _ if depth > 200:
            return path or "body", "is nested too deeply, or contains itself"
        case None | str() | int():
            return None
        case float():
            return None if math.isfinite(value) else (path or "body", f"{value} is not JSON")
        case dict():
            for key, item in value.items():
                if not isinstance(key, str | int | float | None):
                    return path or "body", f"a key is {type(key).__name__}, not text"
                if (found := _fault(item, f"{path}.{key}" if path else str(key), depth + 1)) is not None:
                    return found
            return None
        case list() | tuple():
            faults = (_fault(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(value))
            return next((found for found in faults if found is not None), None)
        case _:
            return path or "body", f"{type(value).__name__} is not JSON"
