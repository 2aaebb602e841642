"""The `gateway` command. Subcommands are read from a table, and imported when they are used.

A new command is one file beside this one and one line in `COMMANDS`. The files import what they
need inside their functions, so that `gateway --help` does not wait for libraries.
"""

from importlib import import_module

import click

from gateway import __version__

COMMANDS = {
    "serve": "gateway.cli.serve:serve",
    "status": "gateway.cli.status:status",
    "reload": "gateway.cli.reload:reload",
    "drain": "gateway.cli.drain:drain",
    "rerank": "gateway.cli.rerank:rerank",
    "bench": "gateway.cli.bench:bench",
    "eval": "gateway.cli.evaluate:evaluate",
    "compare": "gateway.cli.compare:compare",
    "calibrate": "gateway.cli.calibrate:calibrate",
    "key": "gateway.cli.key:key",
    "verify": "gateway.cli.verify:verify",
    "check": "gateway.cli.check:check",
    "doctor": "gateway.cli.doctor:doctor",
    "download": "gateway.cli.download:download",
    "convert": "gateway.cli.convert:convert",
    "pack": "gateway.cli.pack:pack",
    "unpack": "gateway.cli.pack:unpack",
    "completion": "gateway.cli.completion:completion",
}


class CommandTable(click.Group):
    """A group whose commands are the lines of `COMMANDS`, in that order."""

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


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
def cli() -> None:
    """Serve rerank models behind one port."""
