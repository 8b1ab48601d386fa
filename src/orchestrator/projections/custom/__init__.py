"""Read models of other packages: what one is, how it is found, and how its table is made (docs/projections.md)."""

from orchestrator.projections.custom.contract import CustomReadModel
from orchestrator.projections.read_models.contract import ProjectedRun, Row

__all__ = ["CustomReadModel", "ProjectedRun", "Row"]
