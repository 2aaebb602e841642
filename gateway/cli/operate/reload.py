"""`gateway reload`: make the running gateway read its configuration again, or restart a model."""

from typing import Any

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import warn
from gateway.cli.operate.admin import call_admin, poll_status, wait_option
from gateway.cli.remote import Target, target_options


@click.command()
@click.argument("model", required=False, shell_complete=model_names)
@click.option(
    "--remove",
    is_flag=True,
    help="Removal of models, aliases and splits that the configuration no longer has.",
)
@wait_option
@target_options
def reload(model: str | None, remove: bool, wait: bool, target: Target) -> None:
    """Reload the configuration of a running gateway, as SIGHUP does.

    Keys, limits and logs come into effect first. Models that did not change are not touched. New
    and changed models start beside the old ones; when all of them are ready, all names are switched
    at once. If anything is wrong, all models stay as they were. A name goes only with --remove.
    With MODEL the configuration is not read: that model alone is restarted.

    \b
    Exit codes:
      0  in effect
      1  refused; the reasons are listed
      2  nothing answers
    """
    if model and remove:
        raise click.UsageError("--remove is for the configuration, not for one model")
    query = {"model": model} if model else {}
    if remove:
        query["remove"] = "true"
    attempt = call_admin(target, "/admin/reload", **query)["attempt"]
    if not wait:
        click.echo(f"reload {attempt} has begun; `gateway status` shows its progress", err=True)
        return
    found = poll_status(target, lambda status: _is_over(status["reload"], attempt))
    raise SystemExit(_report(found["reload"]["last"]))


def _is_over(reload: dict[str, Any], attempt: int) -> bool:
    return reload["last"] is not None and reload["last"]["attempt"] >= attempt


def _report(outcome: dict[str, Any]) -> int:
    """Print the outcome of a reload; return the exit code."""
    for line in outcome["warnings"]:
        warn(line)
    if outcome["ok"]:
        click.echo(f"reload {outcome['attempt']} is in effect: {_changes(outcome)}", err=True)
        return exit_codes.OK
    click.secho("The reload is refused, the models stay as they were:", fg="red", err=True)
    for line in outcome["errors"]:
        click.echo(f"  {line}", err=True)
    return exit_codes.REFUSED


def _changes(outcome: dict[str, Any]) -> str:
    parts = [
        f"{change} {', '.join(outcome[change])}"
        for change in ("added", "changed", "removed")
        if outcome[change]
    ]
    return "; ".join(parts) or "no model had changed"
