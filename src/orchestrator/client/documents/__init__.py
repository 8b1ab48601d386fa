"""Types of the JSON documents that the calls return; docs/http-api.md describes them.

The documents are plain dictionaries. Times are RFC 3339 strings in UTC, ids are UUIDs as strings, and durations are
in milliseconds. A newer server may send fields that are not listed here.
"""

from orchestrator.client.documents.caching import (
    CacheComponents,
    CacheDifference,
    StepCacheAnalysis,
)
from orchestrator.client.documents.runs import (
    OVER,
    AcceptedRun,
    AcceptedRuns,
    Artifact,
    AttemptError,
    DataRef,
    DeletedRun,
    LogLine,
    LogPage,
    PastAttempt,
    RecordedEvent,
    Run,
    RunError,
    RunPage,
    RunStatus,
    Step,
    StepProgress,
    StepsSummary,
    StepStatus,
)
from orchestrator.client.documents.service import (
    LastRebuild,
    Live,
    Me,
    Projection,
    Queues,
    Readiness,
    RebuildProgress,
)
from orchestrator.client.documents.workflows import (
    Fault,
    Plan,
    PlannedStep,
    RegisteredWorkflow,
    Registration,
    Workflow,
    WorkflowEntry,
)

__all__ = [
    "OVER",
    "AcceptedRun",
    "AcceptedRuns",
    "Artifact",
    "AttemptError",
    "CacheComponents",
    "CacheDifference",
    "DataRef",
    "DeletedRun",
    "Fault",
    "LastRebuild",
    "Live",
    "LogLine",
    "LogPage",
    "Me",
    "PastAttempt",
    "Plan",
    "PlannedStep",
    "Projection",
    "Queues",
    "Readiness",
    "RebuildProgress",
    "RecordedEvent",
    "RegisteredWorkflow",
    "Registration",
    "Run",
    "RunError",
    "RunPage",
    "RunStatus",
    "Step",
    "StepCacheAnalysis",
    "StepProgress",
    "StepStatus",
    "StepsSummary",
    "Workflow",
    "WorkflowEntry",
]
