"""Help texts: blocks that click prints as they are written, and groups with whole summaries."""

import click


class Group(click.Group):
    """A click group whose help has the whole summary of each command."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command; click itself would cut long summaries."""
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name))
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def examples(*lines: str) -> str:
    """Return the end of a command's help: example commands, unwrapped.

    A backspace alone on the first line of a paragraph is click's mark for text to leave as it is.
    """
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
