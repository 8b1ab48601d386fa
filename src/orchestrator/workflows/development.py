"""Development versions: what a definition becomes when it changes under the same version (`1.0.0+dev.1`)."""

from collections.abc import Iterable
from dataclasses import replace

from orchestrator.domain.errors import WorkflowVersionExists
from orchestrator.domain.workflow import Workflow

MAX_VERSION_CHARACTERS = 64


def development_version(workflow: Workflow, registered: Iterable[tuple[str, str]]) -> tuple[Workflow, bool]:
    """Return a workflow under the version to register it with, and whether that is already registered.

    It is the declared version until its content changes, and then the next development version. If the content is that
    of the last version of this family, it is that version.

    Args:
        workflow: the workflow, with the version that its author declared.
        registered: version and digest of each registered version of this workflow, in order.

    Raises:
        WorkflowVersionExists: the content changed, and the version is too long for a development version.
    """
    prefix = workflow.version + (".dev." if "+" in workflow.version else "+dev.")
    last, number = None, 0
    for version, digest in registered:
        suffix = version.removeprefix(prefix) if version.startswith(prefix) else ""
        is_development = suffix.isascii() and suffix.isdigit()
        if version == workflow.version or is_development:
            last = (version, digest)
            number = max(number, int(suffix) if is_development else 0)
    if last is None:
        return workflow, False
    same = replace(workflow, version=last[0])
    if same.digest == last[1]:
        return same, True
    version = f"{prefix}{number + 1}"
    if len(version) > MAX_VERSION_CHARACTERS:
        raise WorkflowVersionExists(
            f"workflow {workflow.name} {workflow.version} is already registered with different content, and its "
            "version is too long for a development version; shorten it",
            workflowName=workflow.name,
            version=workflow.version,
        )
    return replace(workflow, version=version), False
