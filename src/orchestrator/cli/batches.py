"""Trigger many runs: send the payloads in batches, and print the ids as they are accepted."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.cli.asking import ask
from orchestrator.cli.options import Target
from orchestrator.cli.output.terminal import print_error, print_json, print_line
from orchestrator.cli.waiting import wait_for, warn_without_worker

if TYPE_CHECKING:
    from orchestrator.application.calls import Calls

_MAX_RUNS = 500
_MAX_BYTES = 500_000

Document = dict[str, Any]


def trigger_each(
    target: Target,
    workflow: str,
    payloads: Sequence[Mapping[str, Any]],
    *,
    version: str | None,
    labels: Mapping[str, str],
    priority: int,
    no_cache: bool = False,
    force: Collection[str] = (),
    wait: bool,
    as_json: bool,
) -> int:
    """Trigger a run for each payload and print the ids, or as JSON `{runs: [{runId, status, message}]}` at the end.

    If a batch is refused, the runs accepted before it are still printed. With `wait`, wait until all runs have ended,
    and print them as JSON instead. Return the exit code.
    """
    accepted: list[Document] = []
    ended: list[Document] = []

    async def trigger_batches(client: "Calls") -> int:
        for part in parts(payloads):
            answer = await client.trigger_many(
                workflow,
                part,
                version=version,
                labels=labels,
                priority=priority,
                no_cache=no_cache,
                force=force,
            )
            accepted.extend(answer["runs"])
            if not as_json:
                for one in answer["runs"]:
                    print_line(one["runId"])
        await warn_without_worker(client, len(accepted))
        if not wait:
            return 0
        waited = await wait_for(client, [one["runId"] for one in accepted])
        ended.extend(waited.runs)
        return waited.exit_code

    try:
        return ask(target, trigger_batches)
    except Exception:
        if accepted:
            print_error(
                f"{len(accepted):,} of {len(payloads):,} runs were accepted; "
                f"in the error below, runs[0] is payload {len(accepted) + 1:,}"
            )
        raise
    finally:
        if as_json and accepted:
            print_json({"runs": ended or accepted})


def parts(payloads: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield payloads in batches that a server accepts in one request."""
    part: list[Mapping[str, Any]] = []
    size = 0
    for payload in payloads:
        length = len(json.dumps(payload, ensure_ascii=False).encode())
        if part and (len(part) == _MAX_RUNS or size + length > _MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(payload)
        size += length
    if part:
        yield part
