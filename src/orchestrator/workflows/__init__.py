"""What can be run: workflow definitions, read from files or documents or written in Python, and their registry."""

from orchestrator.workflows.builder import define, literal, step
from orchestrator.workflows.document import load_document, load_file
from orchestrator.workflows.payload import check_payload
from orchestrator.workflows.validate import faults, warnings

__all__ = ["check_payload", "define", "faults", "literal", "load_document", "load_file", "step", "warnings"]
