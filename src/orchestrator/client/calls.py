"""All API calls. This module has those that change something; those that only read are in `reads.py`."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast
from uuid import uuid4

from orchestrator.client import documents
from orchestrator.client.errors import ClientError, RunNotCancellable
from orchestrator.client.exchange import Request, part
from orchestrator.client.reads import Reads

_CREATED = 201


class Calls(Reads):
    """All API calls. The examples use the blocking client; with `AsyncClient`, add `await`."""

    async def trigger(
        self,
        workflow: str,
        payload: Mapping[str, Any] | None = None,
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        no_cache: bool = False,
        force: Collection[str] | bool = False,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRun:
        """Trigger a run of a workflow.

        Args:
            workflow: name of a registered workflow.
            payload: the JSON object that the steps see as `trigger`.
            version: a version of the workflow. By default, the one registered last.
            priority: queued runs with a higher priority start first.
            labels: key-value pairs to find the run by.
            no_cache: take no result from the cache. What the run makes is stored in the cache as usual.
            force: ids of steps to execute without using the cache. True forces all steps, as `no_cache` does.
            idempotency_key: requests with the same key create only one run, and all return that run. By default,
                each call generates its own key, so only the retries of one call share a run.
            traceparent: a W3C trace context; it is stored with the run.

        Raises:
            WorkflowNotFound: the workflow, or this version of it, does not exist.
            InvalidRequest: an argument is invalid, `force` names an unknown step, or the payload does not match the
                workflow's `payloadSchema`.
            IdempotencyConflict: the key was already used with another request.

        >>> client.trigger("hello.v1", {"name": "Ada"})
        {'runId': '...', 'status': 'queued', 'message': 'Run queued - 2 steps'}
        """
        body = _run(workflow, payload, version, priority, labels) | _forcing(no_cache, force)
        return cast("documents.AcceptedRun", await self._make("/runs", body, idempotency_key, traceparent))

    async def trigger_many(
        self,
        workflow: str,
        payloads: Iterable[Mapping[str, Any]],
        *,
        version: str | None = None,
        priority: int = 0,
        labels: Mapping[str, str] | None = None,
        no_cache: bool = False,
        force: Collection[str] | bool = False,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRuns:
        """Trigger one run of a workflow for each payload: at most 1,000 runs and 1 MiB in one call.

        If one payload is invalid, the error names it and no run is created.

        Args:
            workflow: name of a registered workflow.
            payloads: for each run, the JSON object that its steps see as `trigger`.
            version: a version of the workflow. By default, the one registered last.
            priority: queued runs with a higher priority start first.
            labels: key-value pairs to find the runs by.
            no_cache: see `trigger`.
            force: see `trigger`.
            idempotency_key: see `trigger`. One key covers the whole batch.
            traceparent: a W3C trace context; it is stored with each run.

        Raises:
            WorkflowNotFound, InvalidRequest, IdempotencyConflict: see `trigger`.

        >>> accepted = client.trigger_many("hello.v1", [{"name": "Ada"}, {"name": "Grace"}])
        >>> len(accepted["runs"])
        2
        """
        forcing = _forcing(no_cache, force)
        body = {"runs": [_run(workflow, payload, version, priority, labels) | forcing for payload in payloads]}
        return cast("documents.AcceptedRuns", await self._make("/runs:batch", body, idempotency_key, traceparent))

    async def update(
        self,
        run_id: str,
        change: str,
        payload: Mapping[str, Any] | None = None,
        *,
        force: Collection[str] | bool = False,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        expected_plan_hash: str | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRun:
        """Trigger a run that applies a change to a completed run and reuses all results the change cannot affect.

        Args:
            run_id: id of a completed run.
            change: one of the workflow's change types, or `payload.patch`.
            payload: a merge patch (RFC 7396) for the payload of the base run.
            force: ids of steps to execute without using the cache. True forces all seed steps of the change.
            priority: queued runs with a higher priority start first. By default, that of the base run.
            labels: labels in addition to those of the base run; they replace labels with the same keys.
            expected_plan_hash: trigger the update only if its plan still has this hash; see `plan`.
            idempotency_key: see `trigger`.
            traceparent: see `trigger`.

        Raises:
            RunNotFound: the base run does not exist.
            BaseRunNotCompleted: the base run is not completed.
            UnknownChangeType: the workflow does not declare this change type.
            InvalidRequest: the change names an unknown step, or the new payload is invalid.
            PlanChanged: the plan no longer has the expected hash.
            IdempotencyConflict: the key was already used with another request.

        >>> base = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> made = client.update(base["id"], "payload.patch", {"name": "Grace"})
        >>> made["message"]
        'Update run queued - 2 steps may re-run'
        >>> client.wait(made["runId"])["triggerPayload"]
        {'name': 'Grace'}
        """
        body = _change(change, payload, force) | _own(priority, labels)
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
        """Return what an update would re-run, may re-run and reuse, and why. It changes nothing.

        The arguments are those of `update`.

        Raises:
            RunNotFound, BaseRunNotCompleted, UnknownChangeType, InvalidRequest: see `update`.

        >>> base = client.wait(client.trigger("hello.v1", {"name": "Ada"})["runId"])
        >>> plan = client.plan(base["id"], "payload.patch", {"name": "Grace"})
        >>> [(step["stepId"], step["action"]) for step in plan["steps"]]
        [('greet', 'run'), ('card', 'may_run')]
        """
        request = Request("POST", f"/runs/{part(run_id)}/update/plan", body=_change(change, payload, force))
        return cast("documents.Plan", (await self._exchange.ask(request)).document)

    async def retry(
        self,
        run_id: str,
        *,
        priority: int | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        traceparent: str | None = None,
    ) -> documents.AcceptedRun:
        """Trigger a run that retries a failed or cancelled run and reuses the results of its completed steps.

        Args:
            run_id: id of a failed or cancelled run.
            priority: see `update`.
            labels: see `update`.
            idempotency_key: see `trigger`.
            traceparent: see `trigger`.

        Raises:
            RunNotFound: the run does not exist.
            RunNotRetryable: the run is neither failed nor cancelled.
            IdempotencyConflict: the key was already used with another request.

        >>> run_id = client.trigger("hello.v1", {"name": "Ada"})["runId"]
        >>> _ = client.wait(run_id)
        >>> client.retry(run_id)
        Traceback (most recent call last):
        orchestrator.client.errors.RunNotRetryable: ...only failed and cancelled runs can be retried
        """
        path = f"/runs/{part(run_id)}/retry"
        return cast(
            "documents.AcceptedRun",
            await self._make(path, _own(priority, labels) or None, idempotency_key, traceparent),
        )

    async def cancel(self, run_id: str, reason: str | None = None) -> documents.Run:
        """Cancel a run and return it. The results of its completed steps are kept.

        Raises:
            RunNotFound: the run does not exist.
            RunNotCancellable: the run has already finished.

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
                    return run  # cancelled by an earlier try whose response was lost
                raise
            except ClientError as error:
                await self._exchange.wire.pause(trials.pause_after(error))
                uncertain = True

    async def delete_run(self, run_id: str, *, reason: str) -> documents.DeletedRun:
        """Delete a finished run for good: its events, results, artifacts and cached results. It needs the role admin.

        Args:
            run_id: id of a run.
            reason: why it is deleted, 1 to 1,000 characters. It is recorded for good, with the caller and the time.

        Raises:
            RunNotFound: the run does not exist.
            RunDeleted: the run was already deleted, perhaps by an earlier try whose response was lost.
            Conflict: the run is not finished, other runs need it (`details["runIds"]`), or something else is archiving,
                pruning or rebuilding now.

        >>> run = client.wait(client.trigger("hello.v1", {"name": "Eve"})["runId"])
        >>> client.delete_run(run["id"], reason="asked to be forgotten")["status"]
        'deleted'
        """
        request = Request("DELETE", f"/runs/{part(run_id)}", {"reason": reason})
        return cast("documents.DeletedRun", (await self._exchange.ask(request)).document)

    async def register(self, definition: Mapping[str, Any] | str) -> documents.Registration:
        """Register a version of a workflow. A registered version never changes.

        Registering the same content again succeeds, with `new` set to False.

        Args:
            definition: the definition as a document, or as YAML text.

        Raises:
            InvalidRequest: the definition is invalid; `details["faults"]` lists every fault.
            VersionExists: the version is already registered with different content.

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

    async def retire_workflow(
        self, name: str, *, version: str | None = None, reason: str | None = None
    ) -> documents.ChangedVersions:
        """Retire a workflow: it takes no new runs. Runs that were triggered before go on.

        Args:
            name: name of a workflow.
            version: a version of it. By default, all versions registered so far.
            reason: why, for those who trigger it: at most 1,000 printable characters.

        Returns the versions that took runs until now. Later versions can be registered, and take runs.

        Raises:
            WorkflowNotFound: the workflow, or this version of it, does not exist.
            Conflict: programs of the previous release, which do not know retirement, may still be running.

        >>> client.retire_workflow("waiting.v1", reason="nobody.knows is gone")["versions"]
        ['1.0.0']
        >>> client.restore_workflow("waiting.v1")["versions"]
        ['1.0.0']
        """
        body = {"version": version, "reason": reason}
        answer = await self._exchange.ask(Request("POST", f"/workflows/{part(name)}/retire", body=body))
        return cast("documents.ChangedVersions", answer.document)

    async def restore_workflow(self, name: str, *, version: str | None = None) -> documents.ChangedVersions:
        """Let a version of a workflow, or every retired one, take runs again. Returns the versions that were retired.

        Raises:
            WorkflowNotFound, Conflict: see `retire_workflow`.

        >>> client.restore_workflow("waiting.v1")["versions"]  # it is not retired
        []
        """
        request = Request("POST", f"/workflows/{part(name)}/restore", body={"version": version})
        return cast("documents.ChangedVersions", (await self._exchange.ask(request)).document)

    async def rebuild(self, name: str) -> documents.Projection:
        """Start rebuilding a read model from the log. The live one serves reads until the new one replaces it.

        `projections` returns the progress.

        Raises:
            NotFound: there is no such read model.
            Conflict: it is already being rebuilt.

        >>> client.rebuild("runs")["state"]
        'live'
        """
        answer = await self._exchange.ask(Request("POST", f"/projections/{part(name)}/rebuild"))
        return cast("documents.Projection", answer.document)

    async def _make(
        self, path: str, body: dict[str, Any] | None, idempotency_key: str | None, traceparent: str | None
    ) -> Any:
        """Trigger a run. All tries send the same idempotency key, so they create only one run."""
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


def _forcing(no_cache: bool, force: Collection[str] | bool) -> dict[str, Any]:
    """Return the fields about the cache. They are omitted if not set: an earlier server does not know them."""
    forced = _force(force)
    return ({"noCache": True} if no_cache else {}) | ({"force": forced} if forced else {})


def _force(force: Collection[str] | bool) -> list[str] | bool:
    if isinstance(force, bool):
        return force
    return [force] if isinstance(force, str) else list(force)


def _change(change: str, payload: Mapping[str, Any] | None, force: Collection[str] | bool) -> dict[str, Any]:
    return {"changeRequest": {"type": change, "payload": dict(payload or {}), "force": _force(force)}}


def _own(priority: int | None, labels: Mapping[str, str] | None) -> dict[str, Any]:
    """Return what a run has of its own, besides what it inherits."""
    return {
        name: value
        for name, value in (("priority", priority), ("labels", None if labels is None else dict(labels)))
        if value is not None
    }
