"""`gateway load` and `gateway unload`: take a model into memory, or out until it is needed."""

from typing import Any

import click

from gateway.cli import exit_codes
from gateway.cli.completion import model_names
from gateway.cli.console import fail, print_json
from gateway.cli.operate.admin import Status, call_admin, poll_status, wait_option
from gateway.cli.remote import Target, target_options

_SHOWN = ("name", "state", "loads", "load_seconds", "cold_requests", "cold_seconds")
_LOADED = ("ready", "degraded")
_STARTING = frozenset({"stopped", "starting", "loading", "warming"})


@click.command()
@click.argument("model", shell_complete=model_names)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@wait_option
@target_options
def load(model: str, as_json: bool, wait: bool, target: Target) -> None:
    """Load a model before its first request.

    A model that was given up is tried again. One that is loaded stays as it is.

    \b
    Exit codes:
      0  loaded
      1  refused, or the load failed; the reason is shown
      2  nothing answers
    """
    name = call_admin(target, "/admin/load", model=model)["model"]
    found = _loaded(target, name) if wait else None
    if found and found["state"] not in _LOADED:
        errors = "; ".join(sorted({one["last_error"] for one in found["shards"]} - {""}))
        fail(f"{name} is {found['state']}{f': {errors}' if errors else ''}", exit_codes.REFUSED)
    _report(found, as_json, f"{name} is {'loaded' if wait else 'being loaded'}", name)


@click.command()
@click.argument("model", shell_complete=model_names)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
@wait_option
@target_options
def unload(model: str, as_json: bool, wait: bool, target: Target) -> None:
    """Free the memory of a model until a request needs it.

    Requests that are in finish first; one that comes before the model is empty keeps it loaded. To
    take nothing new, use `gateway drain`.

    \b
    Exit codes:
      0  unloaded
      1  refused, or a request came and keeps it loaded
      2  nothing answers
    """
    name = call_admin(target, "/admin/unload", model=model)["model"]
    found = _unloaded(target, name) if wait else None
    if found and found["state"] != "idle":
        fail(f"{name} is {found['state']}: a request came and keeps it loaded", exit_codes.REFUSED)
    _report(found, as_json, f"{name} is {'unloaded' if wait else 'being unloaded'}", name)


def _unloaded(target: Target, name: str) -> dict[str, Any]:
    """Return the model when its processes have ended, or when it is to stay."""

    def is_done(status: Status) -> bool:
        model = _model(status, name)
        if model["state"] != "idle":
            return not model["is_leaving"]
        return all(shard["pid"] is None for shard in model["shards"])

    return _model(poll_status(target, is_done), name)


def _loaded(target: Target, name: str) -> dict[str, Any]:
    """Return the model when the start of each of its shards has ended."""

    def is_done(status: Status) -> bool:
        model = _model(status, name)
        states = {shard["state"] for shard in model["shards"]}
        return model["state"] != "loading" and not states & _STARTING

    return _model(poll_status(target, is_done), name)


def _model(status: Status, name: str) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {model["name"]: model for model in status["models"]}
    if name not in models:
        fail(f"{name} was removed by a reload meanwhile", exit_codes.REFUSED)
    return models[name]


def _report(found: dict[str, Any] | None, as_json: bool, text: str, name: str) -> None:
    if as_json:
        print_json({key: found[key] for key in _SHOWN} if found else {"name": name})
    else:
        click.echo(text, err=True)
