"""A command, and a group of commands whose help lists them by section."""

from typing import Any

from typer.core import TyperCommand, TyperGroup

from orchestrator.cli.output.answers import claim_stdout

_WHOLE_SENTENCE = 1000
"""Maximum length of a summary in a list of commands. It is wrapped to the terminal's width and never truncated."""


class Verb(TyperCommand):
    """A command. While it runs, stdout receives only its result."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Help and usage errors end before this."""
        claim_stdout()
        return super().invoke(ctx)


class Sections(TyperGroup):
    """A group whose help lists commands by section."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, in the order of the commands."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            title = command.rich_help_panel or "Commands"
            panels.setdefault(title, []).append((name, command.get_short_help_str(_WHOLE_SENTENCE)))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


class ListsByDefault(Sections):
    """A group that runs its command `list` when the first word is none of its commands: `artifacts RUN`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before words that do not begin with a command or ask for help."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["list", *args]
        return super().parse_args(ctx, args)
