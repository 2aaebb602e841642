"""How commands talk: answers on stdout, everything else on stderr, colours on terminals only."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.config import Problem

FILE_COLUMNS = 180
"""Columns of a table that goes to a file or a pipe."""


def fail(message: str, code: int) -> NoReturn:
    """End the command with one clear message."""
    click.secho("error: ", fg="red", nl=False, err=True)
    click.echo(message, err=True)
    raise SystemExit(code)


def report(problems: Sequence["Problem"]) -> None:
    """Print everything that is wrong with a configuration."""
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    click.secho(f"The configuration cannot be served: {count}", fg="red", err=True)
    for problem in problems:
        where = ": ".join(part for part in (problem.origin, problem.key) if part)
        click.echo(f"\n{click.style(where, bold=True)}: {problem.message}", err=True)
        click.echo(f"    {problem.remedy}", err=True)


def console(*, stderr: bool = False) -> "Console":
    """Return a console; one that is no terminal is wide enough for whole tables."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if terminal else FILE_COLUMNS, highlight=False)
