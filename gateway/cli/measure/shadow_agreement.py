"""Agreement of the models of a running gateway with their shadows: `compare` without data."""

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail, print_json, print_table
from gateway.cli.operate.admin import fetch
from gateway.cli.operate.tables import Values, shadow_table
from gateway.cli.remote import Target


def show_shadows(target: Target, model: str | None, *, as_json: bool) -> None:
    """Print the shadows of all models, or of one; end the command if there are none."""
    status = fetch(target, "/status")
    if not isinstance(status, dict) or "shadows" not in status:
        fail(f"{target} answers, but it is no rerank gateway with shadows", exit_codes.REFUSED)
    found = [
        shadow for shadow in status["shadows"] if model in (None, shadow["model"], shadow["shadow"])
    ]
    if as_json:
        print_json(found, indent=True)
    if not found:
        subject = "no model here has a shadow" if model is None else f"{model!r} has no shadow here"
        fail(
            f'{subject}: set shadow = {{ model = "...", percent = 5 }} below [models.NAME] and '
            "`gateway reload`, or compare two models on a file with --data",
            exit_codes.REFUSED,
        )
    if not as_json:
        _print_table(found)


def _print_table(shadows: list[Values]) -> None:
    print_table(shadow_table(shadows))
    for shadow in shadows:
        if error := shadow["last_error"]:
            click.echo(f"{shadow['shadow']}, shadow of {shadow['model']}: {error}", err=True)
