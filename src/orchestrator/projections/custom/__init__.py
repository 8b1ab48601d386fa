"""Read models of other packages: their contract, loading them, and creating their tables (docs/projections.md)."""

from orchestrator.projections.custom.contract import CustomReadModel
from orchestrator.projections.read_models.contract import ProjectedRun, Row

__all__ = ["CustomReadModel", "ProjectedRun", "Row"]
