"""Skills declared in YAML: HTTP services and programs, without any Python code.

    skills:
      - skillId: image.upscale
        kind: http
        version: "2"
        url: http://127.0.0.1:9000/upscale
      - skillId: video.transcode
        kind: command
        command: ["{folder}/transcode", "--fast"]
        artifactTypes: {"*.mp4": video/mp4}

`{folder}` in a command is replaced with the folder of the YAML file.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from orchestrator.documents.text import read_file
from orchestrator.domain.errors import Fault, InvalidDocument
from orchestrator.skills.bodies import MAX_BYTES, ArtifactBody, content_type_fault, selector_fault
from orchestrator.skills.command import CommandSkill
from orchestrator.skills.endpoint import headers_fault, url_fault
from orchestrator.skills.errors import InvalidSkills
from orchestrator.skills.http import HttpSkill
from orchestrator.skills.placeholders import placeholder_fault, secret_names
from orchestrator.skills.skill import checked_name

_Text = Annotated[str, Field(min_length=1)]


class _Declaration(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)

    skill_id: str
    version: str = "1"

    @field_validator("skill_id", "version")
    @classmethod
    def _name(cls, value: str) -> str:
        return checked_name("it", value)


class _Body(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True)

    artifact: _Text
    content_type: str | None = None

    @field_validator("artifact")
    @classmethod
    def _is_selector(cls, value: str) -> str:
        if why := selector_fault(value):
            raise ValueError(f"is not a selector over the input, such as picture or files[0]: {why}")
        return value

    @field_validator("content_type")
    @classmethod
    def _is_content_type(cls, value: str | None) -> str | None:
        if value is not None and (why := content_type_fault(value)):
            raise ValueError(why)
        return value


class _HttpDeclaration(_Declaration):
    kind: Literal["http"]
    url: str
    headers: dict[str, str] = {}
    connect_timeout_ms: Annotated[int, Field(gt=0, le=600_000)] = 10_000
    max_response_bytes: Annotated[int, Field(gt=0, le=1 << 30)] = 16 << 20

    body: _Body | None = None
    max_bytes: Annotated[int, Field(gt=0, le=1 << 40)] = MAX_BYTES

    @field_validator("url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if why := url_fault(value):
            raise ValueError(why)
        return value

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, value: dict[str, str]) -> dict[str, str]:
        if why := headers_fault(value):
            raise ValueError(why)
        return value

    def build(self, folder: Path) -> HttpSkill:  # noqa: ARG002 - needed by command skills
        """Return the skill."""
        return HttpSkill(
            self.skill_id,
            self.url,
            self.version,
            self.headers,
            self.connect_timeout_ms,
            self.max_response_bytes,
            None if self.body is None else ArtifactBody(self.body.artifact, self.body.content_type),
            self.max_bytes,
        )


class _CommandDeclaration(_Declaration):
    kind: Literal["command"]
    command: Annotated[list[_Text], Field(min_length=1)]
    env: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], str] = {}
    artifact_types: dict[_Text, _Text] = {}
    retryable_exit_codes: list[Annotated[int, Field(ge=1, le=255)]] | None = None
    grace_ms: Annotated[int, Field(ge=0)] = 5_000
    max_stdout_bytes: Annotated[int, Field(gt=0)] = 16 << 20
    max_artifact_bytes: Annotated[int, Field(gt=0)] = 4 << 30

    @field_validator("command")
    @classmethod
    def _no_nul(cls, value: list[str]) -> list[str]:
        if any("\0" in part for part in value):
            raise ValueError("contains a NUL character")
        if any(secret_names(part) for part in value):
            raise ValueError("a secret cannot be in a command, which every user of the machine can read; put it in env")
        return value

    @field_validator("env")
    @classmethod
    def _has_valid_placeholders(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if why := placeholder_fault(text):
                raise ValueError(f"{name}: {why}")
        return value

    def build(self, folder: Path) -> CommandSkill:
        """Return the skill."""
        codes = self.retryable_exit_codes
        return CommandSkill(
            self.skill_id,
            tuple(part.replace("{folder}", str(folder)) for part in self.command),
            self.version,
            self.env,
            self.artifact_types,
            None if codes is None else frozenset(codes),
            self.grace_ms,
            self.max_stdout_bytes,
            self.max_artifact_bytes,
        )


_KINDS: dict[str, type[_HttpDeclaration | _CommandDeclaration]] = {
    "http": _HttpDeclaration,
    "command": _CommandDeclaration,
}


def read_declarations(path: Path) -> list[HttpSkill | CommandSkill]:
    """Return the skills that a YAML or JSON file declares.

    Raises:
        InvalidSkills: the file cannot be read or has faults. All faults are listed, each with its path in the file.
    """
    document, faults = _read(path)
    items = document.get("skills") if isinstance(document, dict) else None
    if not isinstance(items, list) or not items:
        raise InvalidSkills(str(path), [*faults, Fault("skills", "expected a list of at least one skill")])
    faults += [Fault(key, "unknown field") for key in map(str, document) if key != "skills"]
    declared: dict[str, HttpSkill | CommandSkill] = {}
    for index, item in enumerate(items):
        where = f"skills[{index}]"
        found = _declaration(item, where)
        if isinstance(found, list):
            faults += found
        elif found.skill_id in declared:
            faults.append(Fault(f"{where}.skillId", f"{found.skill_id!r} is declared twice"))
        else:
            declared[found.skill_id] = found.build(path.resolve().parent)
    if faults:
        raise InvalidSkills(str(path), faults)
    return list(declared.values())


def _read(path: Path) -> tuple[Any, list[Fault]]:
    try:
        return read_file(path)
    except InvalidDocument as error:
        raise InvalidSkills(str(path), error.faults) from error


def _declaration(item: Any, where: str) -> _HttpDeclaration | _CommandDeclaration | list[Fault]:
    if not isinstance(item, dict):
        return [Fault(where, "expected an object with skillId and kind")]
    kind = item.get("kind")
    model = _KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return [Fault(f"{where}.kind", f"expected one of {', '.join(_KINDS)}, got {kind!r}")]
    try:
        return model.model_validate({str(key): value for key, value in item.items()})
    except ValidationError as error:
        return [
            Fault(where + _path(problem["loc"]), problem["msg"].removeprefix("Value error, "))
            for problem in error.errors(include_url=False, include_input=False, include_context=False)
        ]


def _path(location: tuple[int | str, ...]) -> str:
    parts = (part for part in location if part != "[key]")  # pydantic's marker for an invalid key
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
