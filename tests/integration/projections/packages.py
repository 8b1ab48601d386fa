"""Packages with entry points, as an installer leaves them in a folder."""

from pathlib import Path

MODEL = """
import time
from orchestrator.projections.custom import CustomReadModel

class Model(CustomReadModel):
    name = {name!r}
    version = {version}
    columns = {{"status": "text", "n": "integer", "said": "jsonb"{more_columns}}}
    schema = {schema!r}

    def rows(self, projected):
        run = projected.run
        if {poison!r} in run.trigger.payload:
            {fault}
        said = [run.workflow.name, None]
        yield {{"status": run.status, "n": run.trigger.payload.get("n"), "said": said{more_values}}}
"""


def install(folder: Path, name: str, text: str, value: str | None = None) -> None:
    """Put a module and its entry point into a folder."""
    (folder / f"{name}_package.py").write_text(text)
    about = folder / f"{name}_package-1.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-package\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        f"[orchestrator.projections]\n{name} = {value or f'{name}_package:Model'}\n"
    )


def model(
    name: str,
    *,
    version: int = 1,
    schema: str = "",
    fault: str = "raise ArithmeticError('no good')",
    poison: str = "poison",
    column: str = "",
) -> str:
    """The text of a module with a read model of one row a run; a payload with the key `poison` meets the fault."""
    more_columns = f', "{column}": "text"' if column else ""
    more_values = f', "{column}": "x"' if column else ""
    return MODEL.format(
        name=name, version=version, schema=schema, fault=fault, poison=poison, more_columns=more_columns,
        more_values=more_values,
    )  # fmt: skip
