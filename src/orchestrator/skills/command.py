"""Command skills: programs that read JSON, write JSON and leave files in `out/`."""

import asyncio
import mimetypes
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import orjson

from orchestrator.domain.errors import InputNotCanonical
from orchestrator.domain.exact import check_numbers
from orchestrator.skills.child import Ending, run_child
from orchestrator.skills.context import StepContext
from orchestrator.skills.errors import (
    SKILL_EXECUTION_FAILED,
    SKILL_INPUT_INVALID,
    SKILL_OUTPUT_INVALID,
    SkillError,
    WorkerUnfit,
)
from orchestrator.skills.excerpts import beginning, end_of, last_line, start_of
from orchestrator.skills.fitness import SHORTAGES
from orchestrator.skills.placeholders import fill, has_secrets, placeholder_fault
from orchestrator.skills.shape import plain
from orchestrator.skills.skill import SkillKind, invalid_output
from orchestrator.skills.streams import STDERR_TAIL_BYTES

OUT = "out"
_SHOWN_BYTES = 2048
_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class CommandSkill:
    """A program as a skill.

    The program runs in the workspace and gets the input as JSON on stdin. JSON on stdout is the data (empty stdout
    means `{}`), files below `out/` become artifacts in the order of their names, and exit code 0 means success.

    The program does not inherit the worker's environment, which contains secrets and differs between machines. It gets
    only PATH, HOME and TMPDIR (the workspace), LANG, ORCHESTRATOR_RUN_ID, _STEP_ID, _ATTEMPT, _TENANT,
    _IDEMPOTENCY_KEY, and the variables of `env`. In these, `${secret:NAME}` means the value of a secret.

    Attributes:
        command: the program and its arguments; never passed to a shell.
        artifact_types: maps a glob of a path below `out/` to an artifact type. The first match wins; without a match
            the type is guessed from the suffix.
        retryable_exit_codes: the exit codes that allow another attempt; None means all.
        grace_ms: milliseconds between SIGTERM and SIGKILL when the attempt is cancelled or exceeds its time limit.
        max_stdout_bytes: longer output on stdout is an invalid output.
        max_artifact_bytes: a larger total size of the files in `out/` is an invalid output.
    """

    id: str
    command: tuple[str, ...]
    version: str = "1"
    env: Mapping[str, str] = field(default_factory=dict)
    artifact_types: Mapping[str, str] = field(default_factory=dict)
    retryable_exit_codes: frozenset[int] | None = None
    grace_ms: int = 5_000
    max_stdout_bytes: int = 16 << 20
    max_artifact_bytes: int = 4 << 30
    kind: SkillKind = field(default="command", init=False)
    blocking: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for name, value in self.env.items():
            if why := placeholder_fault(value):
                raise ValueError(f"env.{name} of {self.id}: {why}")

    @property
    def secret_fields(self) -> Mapping[str, str]:
        """The texts that may contain placeholders for secrets, by the name of their field."""
        return {f"env.{name}": value for name, value in self.env.items()}

    def fill(self, get: Callable[[str], str]) -> dict[str, str]:
        """Return the variables of `env` with the values of secrets, which `get` returns."""
        return {name: fill(value, get) for name, value in self.env.items()}

    def prepare(self, document: Any) -> bytes:
        """Return the input as JSON text for stdin; raise SkillError(SKILL_INPUT_INVALID) if it is not JSON."""
        try:
            return orjson.dumps(document)
        except TypeError as error:
            raise SkillError(SKILL_INPUT_INVALID, f"the input of {self.id} is not JSON: {error}") from error

    async def call(self, prepared: bytes, ctx: StepContext) -> bytes:
        """Run the program, store the files in `out/` as artifacts, and return its stdout.

        Raises:
            SkillError: SKILL_EXECUTION_FAILED, with the exit code and the end of stderr; SKILL_OUTPUT_INVALID when the
                output is too large, or `out/` contains something other than files and folders; SECRET_NOT_FOUND when
                `env` has a placeholder for a secret that no source has.
            WorkerUnfit: this process lacks a resource to start the program.
        """
        env = await asyncio.to_thread(self.fill, ctx.secret) if has_secrets(self.env) else self.env
        out = ctx.workspace / OUT
        out.mkdir()
        ending = await self._run(prepared, env, ctx)
        if ending.overflowed:
            raise self._invalid(f"stdout is longer than {self.max_stdout_bytes} bytes")
        if ending.exit_code != 0:
            raise self._failed(ending)
        await asyncio.to_thread(self._keep_artifacts, out, ctx)
        return ending.stdout

    def finish(self, result: bytes) -> Any:
        """Return stdout parsed as JSON.

        Raises:
            SkillError: SKILL_OUTPUT_INVALID when stdout is not JSON.
        """
        if not result.strip():
            return {}
        try:
            data = orjson.loads(result)
            check_numbers(result)
            return plain(data)
        except orjson.JSONDecodeError as error:
            why = f"stdout is not JSON: {error}; it begins with {beginning(result)!r}"
            raise self._invalid(why, {"stdout": start_of(result, _SHOWN_BYTES)}) from error
        except InputNotCanonical as error:
            raise invalid_output(self.id, error) from error

    async def _run(self, stdin: bytes, env: Mapping[str, str], ctx: StepContext) -> Ending:
        try:
            return await run_child(
                self.command,
                stdin=stdin,
                folder=ctx.workspace,
                env=self._environment(env, ctx),
                grace_seconds=self.grace_ms / 1000,
                max_stdout_bytes=self.max_stdout_bytes,
                log=ctx.step_log,
            )
        except OSError as error:
            if error.errno in SHORTAGES:
                message = f"program {self.command[0]!r} of {self.id} cannot be started right now: {error.strerror}"
                raise WorkerUnfit(message) from error
            raise SkillError(
                SKILL_EXECUTION_FAILED,
                f"program {self.command[0]!r} of {self.id} cannot be started: {error.strerror or error}",
                retryable=False,
                details={"command": list(self.command)},
            ) from error

    @staticmethod
    def _environment(env: Mapping[str, str], ctx: StepContext) -> dict[str, str]:
        workspace = str(ctx.workspace)
        return {
            "PATH": _PATH,
            "HOME": workspace,
            "TMPDIR": workspace,
            "LANG": "C.UTF-8",
            **env,
            "ORCHESTRATOR_RUN_ID": ctx.run_id,
            "ORCHESTRATOR_STEP_ID": ctx.step_id,
            "ORCHESTRATOR_ATTEMPT": str(ctx.attempt),
            "ORCHESTRATOR_TENANT": ctx.tenant,
            "ORCHESTRATOR_IDEMPOTENCY_KEY": ctx.idempotency_key,
        }

    def _keep_artifacts(self, out: Path, ctx: StepContext) -> None:
        found = {path.relative_to(out).as_posix(): path for path in out.rglob("*")}
        size = 0
        for name, path in found.items():
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise self._invalid(f"{OUT}/{name} is not a plain file")
            size += path.stat().st_size if path.is_file() else 0
        if size > self.max_artifact_bytes:
            raise self._invalid(f"{OUT}/ holds {size} bytes; at most {self.max_artifact_bytes} are allowed")
        for name in sorted(found):
            if found[name].is_file():
                ctx.artifact(found[name], self._type(name), filename=name)

    def _type(self, name: str) -> str:
        for pattern, declared in self.artifact_types.items():
            if fnmatchcase(name, pattern):
                return declared
        # A new instance knows only Python's built-in types, so the result is the same on every machine.
        return mimetypes.MimeTypes().guess_type(name)[0] or "application/octet-stream"

    def _failed(self, ending: Ending) -> SkillError:
        code = ending.exit_code
        ended = f"ended with exit code {code}" if code > 0 else f"was killed by {_signal_name(-code)}"
        stderr = end_of(ending.stderr, STDERR_TAIL_BYTES)
        reason = last_line(stderr)
        return SkillError(
            SKILL_EXECUTION_FAILED,
            f"{self.command[0]} {ended}" + (f": {reason}" if reason else ""),
            retryable=self.retryable_exit_codes is None or code in self.retryable_exit_codes,
            details={"exitCode": code, "stderr": stderr},
        )

    def _invalid(self, why: str, details: Mapping[str, Any] | None = None) -> SkillError:
        return SkillError(SKILL_OUTPUT_INVALID, f"the output of {self.id} is invalid: {why}", details=details)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
