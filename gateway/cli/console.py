"""Output of commands: answers on stdout, the rest on stderr, colours on terminals only."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gateway.cli.table import Table
    from gateway.config import Problem


def fail(message: str, code: int) -> NoReturn:
    """End the command with one error message and an exit code."""
    click.secho("error: ", fg="red", nl=False, err=True)
    click.echo(message, err=True)
    raise SystemExit(code)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    click.secho(f"warning: {message}", fg="yellow", err=True)


def report(problems: Sequence["Problem"]) -> None:
    """Print every problem of a configuration, each with its remedy."""
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    click.secho(f"The configuration cannot be served: {count}", fg="red", err=True)
    for problem in problems:
        place = ": ".join(part for part in (problem.origin, problem.key) if part)
        click.echo(f"\n{click.style(place, bold=True)}: {problem.message}", err=True)
        click.echo(f"    {problem.remedy}", err=True)


def print_json(value: object, *, indent: bool = False) -> None:
    """Print a value as JSON: on one line, or indented for readers."""
    import orjson

    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None).decode())


def console(*, stderr: bool = False) -> "Console":
    """Return a console; outside a terminal it breaks no lines."""
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, soft_wrap=not terminal, highlight=False)


def print_table(table: "Table") -> None:
    """Print a table in the width of the terminal; elsewhere one whole line for each row."""
    print_lines(table.lines)


def print_lines(lines: "Callable[[int | None], Sequence[Text]]") -> None:
    """Print the lines for the width of the terminal; those for no width outside a terminal."""
    out = console()
    for line in lines(out.width if sys.stdout.isatty() else None):
        out.print(line, soft_wrap=True)
