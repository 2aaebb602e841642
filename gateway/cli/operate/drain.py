"""`gateway drain`: take one model out of service without failing an accepted request."""

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import fail
from gateway.cli.operate.admin import Status, call_admin, poll_status, wait_option
from gateway.cli.remote import Target, target_options


@click.command()
@click.argument("model", shell_complete=model_names)
@wait_option
@target_options
def drain(model: str, wait: bool, target: Target) -> None:
    """Take a model of a running gateway out of service.

    Accepted requests finish, then the shards of the model end. New requests get 503 `model_drained`
    until `gateway reload MODEL` brings the model back.

    \b
    Exit codes:
      0  drained
      1  refused, or a reload brought the model back
      2  nothing answers
    """
    name = call_admin(target, "/admin/drain", model=model)["model"]
    if not wait:
        click.echo(f"{name} is draining; `gateway status` shows its progress", err=True)
        return
    found = poll_status(target, lambda status: _state(status, name) != "draining")
    if _state(found, name) != "drained":
        fail(f"{name} was reloaded meanwhile", exit_codes.REFUSED)
    click.echo(f"{name} is drained; `gateway reload {name}` brings it back", err=True)


def _state(status: Status, name: str) -> str:
    states = [model["state"] for model in status["models"] if model["name"] == name]
    return states[0] if states else "drained"  # removed by a reload, which drains it as well
