"""Refuse an output that contains a secret, so that it is never recorded."""

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson

from orchestrator.domain.output import Artifact, Output
from orchestrator.skills.errors import SECRET_IN_OUTPUT, SkillError
from orchestrator.skills.masking import MASKER

_SEARCHED_AT_ONCE = 65_536


async def checked_output(skill_id: str, output: Output) -> Output:
    """Return an output if neither its data nor the artifacts' names, metadata and external uris contain a secret.

    The content of files is not read.

    Raises:
        SkillError: SECRET_IN_OUTPUT, with the names of the secrets and where the first one is.
    """
    if MASKER.is_empty:
        return output
    document = {"data": output.data, "artifacts": [_described(artifact) for artifact in output.artifacts]}
    text = orjson.dumps(document, option=orjson.OPT_NON_STR_KEYS).decode()
    if len(text) <= _SEARCHED_AT_ONCE:
        found = MASKER.secrets_in(text)
    else:
        found = await asyncio.to_thread(MASKER.secrets_in, text)
    if found:
        where = await asyncio.to_thread(next, _places(document, "$"), "$")
        raise SkillError(
            SECRET_IN_OUTPUT,
            f"the output of {skill_id} contains the secret {found[0]} at {where}; remove it from the result",
            retryable=False,
            details={"secrets": found, "path": where},
        )
    return output


def _described(artifact: Artifact) -> dict[str, Any]:
    """Return what a skill said of an artifact. A uri of the store is not: it holds hashes."""
    external = artifact.uri if artifact.uri.startswith(("http://", "https://")) else None
    return {"filename": artifact.filename, "metadata": dict(artifact.metadata), "type": artifact.type, "uri": external}


def _places(value: Any, path: str) -> Iterator[str]:
    match value:
        case dict():
            for name, each in value.items():
                if MASKER.secrets_in(str(name)):
                    yield path
                yield from _places(each, f"{path}.{name}")
        case list() | tuple():
            for index, each in enumerate(value):
                yield from _places(each, f"{path}[{index}]")
        case _:
            if MASKER.secrets_in(orjson.dumps(value, default=str).decode()):
                yield path
