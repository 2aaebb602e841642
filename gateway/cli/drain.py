"""`gateway drain`: take one model out of service without failing a request that is in."""

import click

from gateway.cli import exits
from gateway.cli.admin import Status, ask, look_until, wait_option
from gateway.cli.completion import model_names
from gateway.cli.remote import Target, target_options
from gateway.cli.say import fail


@click.command()
@click.argument("model", shell_complete=model_names)
@wait_option
@target_options
def drain(model: str, wait: bool, target: Target) -> None:
    """Take a model of a running gateway out of service.

    Requests that are in finish, then its shards end. New ones get 503 `model_drained` until
    `gateway reload MODEL` brings it back.

    Exit code 0: done. 1: refused, or a reload brought the model back. 2: nothing answers.
    """
    name = ask(target, "/admin/drain", model=model)["model"]
    if not wait:
        click.echo(f"{name} is draining; `gateway status` shows how it goes", err=True)
        return
    found = look_until(target, lambda status: _state(status, name) != "draining")
    if _state(found, name) != "drained":
        fail(f"{name} was reloaded meanwhile", exits.REFUSED)
    click.echo(f"{name} is drained; `gateway reload {name}` brings it back", err=True)


def _state(status: Status, name: str) -> str:
    states = [model["state"] for model in status["models"] if model["name"] == name]
    return states[0] if states else "drained"  # removed by a reload: gone all the same
