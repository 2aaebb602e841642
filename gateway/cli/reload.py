"""`gateway reload`: the running gateway reads its configuration again, or starts a model anew."""

from typing import Any

import click

from gateway.cli import exits
from gateway.cli.admin import ask, look_until, wait_option
from gateway.cli.completion import model_names
from gateway.cli.remote import Target, target_options


@click.command()
@click.argument("model", required=False, shell_complete=model_names)
@wait_option
@target_options
def reload(model: str | None, wait: bool, target: Target) -> None:
    """Have a running gateway read its configuration again, as SIGHUP does.

    Models that did not change are not touched. New and changed ones start beside those that serve;
    when all of them are ready, all names are switched at once. If anything is wrong, everything
    stays as it was. With MODEL the configuration is not read: that model is started anew, as it is.

    Exit code 0: it is in effect. 1: it is refused, and the reasons are listed. 2: nothing answers.
    """
    attempt = ask(target, "/admin/reload", **({"model": model} if model else {}))["attempt"]
    if not wait:
        click.echo(f"reload {attempt} is on its way; `gateway status` shows how it goes", err=True)
        return
    found = look_until(target, lambda status: _is_over(status["reload"], attempt))
    raise SystemExit(_tell(found["reload"]["last"]))


def _is_over(reload: dict[str, Any], attempt: int) -> bool:
    return reload["last"] is not None and reload["last"]["attempt"] >= attempt


def _tell(outcome: dict[str, Any]) -> int:
    for line in outcome["warnings"]:
        click.secho(f"warning: {line}", fg="yellow", err=True)
    if outcome["ok"]:
        click.echo(f"reload {outcome['attempt']} is in effect: {_changes(outcome)}", err=True)
        return exits.OK
    click.secho("The reload is refused, all stays as it was:", fg="red", err=True)
    for line in outcome["errors"]:
        click.echo(f"  {line}", err=True)
    return exits.REFUSED


def _changes(outcome: dict[str, Any]) -> str:
    parts = [
        f"{what} {', '.join(outcome[what])}"
        for what in ("added", "changed", "removed")
        if outcome[what]
    ]
    return "; ".join(parts) or "no model had changed"
