"""Every call, once: those that look (`reads.py`), and here those that do something."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast
from uuid import uuid4

from orchestrator.client import documents
from orchestrator.client.errors import ClientError, RunNotCancellable
from orchestrator.client.exchange import Request, part
from orchestrator.client.reads import Reads

_CREATED = 201


class Calls(Reads):
    """What can be asked of a server. The examples are those of the blocking client; else put `await` before them."""

    async def trigger(
        self,
        workflow: str,
        payload: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRun:
        """Ask for a run of a workflow, the version registered last unless one is named.

        Args:
            workflow: the name of a registered workflow.
            payload: what the steps see as `trigger`.
            version: a version of the workflow.
            priority: queued runs of a higher priority are begun first.
            labels: what to find the run by.
            idempotency_key: the same key with the same request leads to the same run, however often it is made.
                Without one a new key is made for each call, so that only the tries of one call are the same.
            traceparent: a W3C trace context; it is kept with the run.

        Raises:
            WorkflowNotFound, InvalidRequest, IdempotencyConflict.

        >>> client.trigger("hello.v1", {"name": "Ada"})
        {'runId': '...', 'status': 'queued', 'message': 'Run queued - 2 steps'}
        """
        body = _run(workflow, payload, version, priority, labels)
        return cast("documents.AcceptedRun", await self._make("/runs", body, idempotency_key, traceparent))

    async def trigger_many(
        self,
        workflow: str,
        payloads: Iterable[Mapping[str, Any]],
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRuns:
        """Ask for a run of a workflow for each payload; at most 1,000 in one call, and 1 MiB of them.

        It is all or nothing: when one payload does not fit, the error names it, and no run is made.

        Args:
            workflow: the name of a registered workflow.
            payloads: what the steps of each run see as `trigger`.
            version: a version of the workflow.
            priority: queued runs of a higher priority are begun first.
            labels: what to find the runs by.
            idempotency_key: see `trigger`; one key stands for all of them.
            traceparent: a W3C trace context; it is kept with each run.

        Raises:
            WorkflowNotFound, InvalidRequest, IdempotencyConflict.

        >>> accepted = client.trigger_many("hello.v1", [{"name": "Ada"}, {"name": "Grace"}])
        >>> len(accepted["runs"])
        2
        """
        body = {"runs": [_run(workflow, payload, version, priority, labels) for payload in payloads]}
        return cast("documents.AcceptedRuns", await self._make("/runs:batch", body, idempotency_key, traceparent))

    async def update(
        self,
        run_id: str,
        change: str,
        payload: Mapping[str, Any] | None = None,
        *,
        force: Collection[str] | bool = False,
        expected_plan_hash: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRun:
        """Ask for a run that changes a completed one and reuses all that the change cannot reach.

        Args:
            run_id: a completed run.
            change: one of the workflow's change types, or `payload.patch`.
            payload: a merge patch (RFC 7396) of the base run's payload.
            force: steps to execute in spite of the cache; True stands for all the seeds.
            expected_plan_hash: make the update only if its plan still has this hash (see `plan`).
            idempotency_key: as in `trigger`.
            traceparent: as in `trigger`.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, InvalidRequest, PlanChanged, IdempotencyConflict.

        >>> base = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> made = client.update(base["id"], "payload.patch", {"name": "Grace"})
        >>> made["message"]
        'Update run queued - 2 steps may re-run'
        >>> client.wait(made["runId"])["triggerPayload"]
        {'name': 'Grace'}
        """
        body = _change(change, payload, force)
        if expected_plan_hash is not None:
            body["expectedPlanHash"] = expected_plan_hash
        path = f"/runs/{part(run_id)}/update"
        return cast("documents.AcceptedRun", await self._make(path, body, idempotency_key, traceparent))

    async def plan(
        self,
        run_id: str,
        change: str,
        payload: Mapping[str, Any] | None = None,
        *,
        force: Collection[str] | bool = False,
    ) -> documents.Plan:
        """Say what an update would re-run, may re-run and reuse, and why; nothing happens. Takes what `update` takes.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, InvalidRequest.

        >>> base = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> plan = client.plan(base["id"], "payload.patch", {"name": "Grace"})
        >>> [(step["stepId"], step["action"]) for step in plan["steps"]]
        [('greet', 'run'), ('card', 'may_run')]
        """
        request = Request("POST", f"/runs/{part(run_id)}/update/plan", body=_change(change, payload, force))
        return cast("documents.Plan", (await self._exchange.ask(request)).document)

    async def retry(
        self, run_id: str, *, idempotency_key: str | None = None, traceparent: str | None = None
    ) -> documents.AcceptedRun:
        """Ask for another try of a failed or cancelled run that reuses all that completed.

        Raises:
            RunNotFound, RunNotRetryable, IdempotencyConflict.

        >>> run_id = client.trigger("hello.v1", {"name": "Ada"})["runId"]
        >>> _ = client.wait(run_id)
        >>> client.retry(run_id)
        Traceback (most recent call last):
        orchestrator.client.errors.RunNotRetryable: ...only failed and cancelled runs can be retried
        """
        path = f"/runs/{part(run_id)}/retry"
        return cast("documents.AcceptedRun", await self._make(path, None, idempotency_key, traceparent))

    async def cancel(self, run_id: str, reason: str | None = None) -> documents.Run:
        """End a run now and return it. What it has completed is kept.

        Raises:
            RunNotFound, RunNotCancellable.

        >>> run_id = client.trigger("waiting.v1")["runId"]
        >>> client.cancel(run_id, "changed my mind")["status"]
        'cancelled'
        """
        trials, uncertain = self._exchange.trials(), False
        request = Request("POST", f"/runs/{part(run_id)}/cancel", body={"reason": reason}, tries=1)
        while True:
            try:
                return cast("documents.Run", (await self._exchange.ask(request)).document)
            except RunNotCancellable:
                run = await self.run(run_id)
                if uncertain and run["status"] == "cancelled":
                    return run  # by the try whose answer was lost
                raise
            except ClientError as error:
                await self._exchange.wire.pause(trials.pause_after(error))
                uncertain = True

    async def register(self, definition: Mapping[str, Any] | str) -> documents.Registration:
        """Register a version of a workflow: a document, or the text of a YAML file. A version never changes.

        The same content again is fine; then `new` is false.

        Raises:
            InvalidRequest: the definition has faults; `details["faults"]` lists every one.
            VersionExists: the version is there with other content.

        >>> client.register('''
        ... workflowName: waiting.v1
        ... version: "1.0.0"
        ... steps:
        ...   - {stepId: wait, skillId: nobody.knows}
        ... ''')["stepCount"]
        1
        """
        body: Any = definition if isinstance(definition, str) else dict(definition)
        headers = {"Content-Type": "application/yaml"} if isinstance(definition, str) else {}
        answer = await self._exchange.ask(Request("POST", "/workflows", body=body, headers=headers))
        return cast("documents.Registration", {**answer.document, "new": answer.status == _CREATED})

    async def rebuild(self, name: str) -> documents.Projection:
        """Begin to rebuild a read model from the log, beside the live one; `projections` tells how it goes on.

        Raises:
            NotFound: there is no such read model.
            Conflict: it is being rebuilt.

        >>> client.rebuild("runs")["state"]
        'live'
        """
        answer = await self._exchange.ask(Request("POST", f"/projections/{part(name)}/rebuild"))
        return cast("documents.Projection", answer.document)

    async def _make(
        self, path: str, body: dict[str, Any] | None, idempotency_key: str | None, traceparent: str | None
    ) -> Any:
        """Ask for a run. All tries carry one idempotency key, so that they make one run."""
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        if traceparent is not None:
            headers["traceparent"] = traceparent
        return (await self._exchange.ask(Request("POST", path, body=body, headers=headers))).document


def _run(
    workflow: str,
    payload: Mapping[str, Any] | None,
    version: str | None,
    priority: int,
    labels: Mapping[str, str] | None,
) -> dict[str, Any]:
    return {
        "workflowName": workflow,
        "workflowVersion": version,
        "triggerPayload": None if payload is None else dict(payload),
        "priority": priority,
        "labels": None if labels is None else dict(labels),
    }


def _change(change: str, payload: Mapping[str, Any] | None, force: Collection[str] | bool) -> dict[str, Any]:
    forced = force if isinstance(force, bool) else list(force)
    return {"changeRequest": {"type": change, "payload": dict(payload or {}), "force": forced}}
