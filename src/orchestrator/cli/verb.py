"""A verb, and a group of verbs whose help lists them by what they are for."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from orchestrator.cli.output.answers import claim_stdout

_WHOLE_SENTENCE = 1000
"""The longest sentence about a verb in a list. It is wrapped to the terminal's width, never cut."""


class Verb(TyperCommand):
    """A verb. From its first moment on, stdout holds its answer and nothing else."""

    def invoke(self, ctx: Any) -> Any:
        """Do what the verb does; help and wrong usage end before this."""
        claim_stdout()
        return super().invoke(ctx)


class Sections(TyperGroup):
    """Lists verbs by what they are for."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, in the order of the verbs."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            title = command.rich_help_panel or "Commands"
            panels.setdefault(title, []).append((name, command.get_short_help_str(_WHOLE_SENTENCE)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)
