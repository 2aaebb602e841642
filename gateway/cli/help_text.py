"""Help texts: blocks that click prints as they are written, and groups with whole summaries."""

from difflib import get_close_matches

import click


class Group(click.Group):
    """A click group with whole summaries in its help, and suggestions for mistyped names."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command; click itself would cut long summaries."""
        rows = [
            (name, command.get_short_help_str(limit=1000))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name))
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command of the first argument; suggest similar names for a mistyped one."""
        name, names = args[0], self.list_commands(ctx)
        if name not in names and not name.startswith("-") and not ctx.resilient_parsing:
            similar = " or ".join(get_close_matches(name, names))
            ctx.fail(
                f"No such command {name!r}." + (f" Did you mean {similar}?" if similar else "")
            )
        return super().resolve_command(ctx, args)


def examples(*lines: str) -> str:
    """Return the end of a command's help: example commands, unwrapped.

    A backspace alone on the first line of a paragraph is click's mark for text to leave as it is.
    """
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
