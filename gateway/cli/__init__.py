"""The `gateway` command: groups of subcommands, each imported on use.

A new command is one file in a room of this package and one line in `GROUPS`. Commands import
libraries inside their functions, so that `gateway --help` starts fast.
"""

from importlib import import_module

import click

from gateway import __version__
from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.extras import how_to_install
from gateway.cli.help_text import Group

GROUPS = {
    "Serve and operate": {
        "serve": "gateway.cli.serve.command:serve",
        "stop": "gateway.cli.operate.stop:stop",
        "logs": "gateway.cli.operate.logs:logs",
        "status": "gateway.cli.operate.status:status",
        "reload": "gateway.cli.operate.reload:reload",
        "drain": "gateway.cli.operate.drain:drain",
        "load": "gateway.cli.operate.load:load",
        "unload": "gateway.cli.operate.load:unload",
        "key": "gateway.cli.operate.key:key",
        "cache": "gateway.cli.operate.cache:cache",
        "check": "gateway.cli.operate.check:check",
        "migrate": "gateway.cli.operate.migrate:migrate",
    },
    "Score": {
        "rerank": "gateway.cli.score.rerank:rerank",
    },
    "Measure": {
        "bench": "gateway.cli.bench.command:bench",
        "eval": "gateway.cli.measure.evaluate:evaluate",
        "compare": "gateway.cli.measure.compare:compare",
        "calibrate": "gateway.cli.measure.calibrate:calibrate",
    },
    "Models": {
        "models": "gateway.cli.models.models:models",
        "download": "gateway.cli.models.download:download",
        "verify": "gateway.cli.models.verify:verify",
        "convert": "gateway.cli.models.convert:convert",
        "pack": "gateway.cli.models.pack:pack",
        "unpack": "gateway.cli.models.pack:unpack",
    },
    "Machine": {
        "doctor": "gateway.cli.doctor.command:doctor",
        "files": "gateway.cli.operate.files:files",
        "completion": "gateway.cli.completion:completion",
    },
}
"""Commands by the heading of their group in the help, each with its module and attribute."""

COMMANDS = {name: target for group in GROUPS.values() for name, target in group.items()}

_NAME_COLUMNS = max(map(len, COMMANDS))


class CommandTable(Group):
    """A click group whose commands are the lines of `GROUPS`, in that order."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of a name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; end it with one line if it needs a part that is not installed."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            name = f"gateway {ctx.invoked_subcommand or ''}".strip()
            message = how_to_install(error.name, name)
            if not message:
                raise
            fail(message, exit_codes.UNAVAILABLE)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section of the help for each group; the summaries of all groups are aligned."""
        for title, names in GROUPS.items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                summary = command.get_short_help_str(limit=1000) if command else ""
                rows.append((name.ljust(_NAME_COLUMNS), summary))
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """Serve rerank models behind one port."""
