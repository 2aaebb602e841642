"""`gateway status`: the reply of `/status` as a table or as JSON, once or repeatedly."""

from functools import partial

import click

from gateway.cli import exit_codes
from gateway.cli.console import print_json, print_lines, print_table
from gateway.cli.operate.status_table import Status, fitted
from gateway.cli.operate.tables import (
    cascade_table,
    key_table,
    memory_table,
    shadow_table,
    split_table,
)
from gateway.cli.remote import NotAnswering, Target, fetch_json, refusal, target_options

_TABLES = {
    "splits": split_table,
    "cascades": cascade_table,
    "shadows": shadow_table,
    "memory": memory_table,
    "keys": key_table,
}
"""Further tables of a status, shown below its models."""


@click.command()
@target_options
@click.option("--json", "as_json", is_flag=True, help="The reply of /status as one line of JSON.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(min=0.1),
    metavar="[SECONDS]",
    help="Repeated looks until `q` or Ctrl-C; seconds between two looks (default: 2).",
)
def status(target: Target, as_json: bool, watch: float | None) -> None:
    """Show models and shards of a running gateway.

    \b
    Exit codes:
      0  every model is ready
      1  some models can score, not all are ready
      2  no model can score, or nothing answers
    """
    if watch is not None:
        from gateway.cli.operate.watch import watch as watch_status

        look, show = partial(_look, target), partial(_show, as_json=True)
        raise SystemExit(watch_status(look, show, watch, str(target), as_json=as_json))
    found, code = _look(target)
    _show(found, as_json)
    raise SystemExit(code)


def exit_code(status: Status) -> int:
    """Return the exit code of a status."""
    states = [model["state"] for model in status["models"]]
    if states and all(state == "ready" for state in states):
        return exit_codes.OK
    return exit_codes.DEGRADED if {"ready", "degraded"} & set(states) else exit_codes.DOWN


def _look(target: Target) -> tuple[Status | str, int]:
    """Return the status, or the reason why there is none, and the exit code."""
    try:
        found = fetch_json(target, "/status")
    except NotAnswering as error:
        return str(error), exit_codes.DOWN
    if not isinstance(found, dict) or "models" not in found:
        return refusal(target, found), exit_codes.DOWN
    return found, exit_code(found)


def _show(found: Status | str, as_json: bool) -> None:
    if isinstance(found, str):
        click.echo(found, err=True)
        if as_json:
            print_json({"error": found})
    elif as_json:
        print_json(found)
    else:
        print_lines(partial(fitted, found))
        for name, table in _TABLES.items():
            if found.get(name):
                click.echo()
                print_table(table(found[name]))
