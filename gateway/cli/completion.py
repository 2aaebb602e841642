"""`gateway completion SHELL`: what makes a shell complete our commands, options and models."""

import click

SHELLS = ("bash", "zsh", "fish")

_VARIABLE = "_GATEWAY_COMPLETE"
"""How click is asked for completions; the name follows from that of the program."""

_PATIENCE_SECONDS = 1.0


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the code that has SHELL complete `gateway`: commands, options, names of models.

    \b
    bash:  eval "$(gateway completion bash)"      in ~/.bashrc
    zsh:   eval "$(gateway completion zsh)"       in ~/.zshrc, after compinit
    fish:  gateway completion fish | source       in ~/.config/fish/config.fish

    Exit code 0: printed. 2: there is none for this shell.
    """
    from click.shell_completion import get_completion_class

    from gateway.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "gateway", _VARIABLE).source())


def model_names(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the models that begin so, of the gateway that the command would ask; none without one."""
    from gateway.cli.remote import NotAnswering, Target, fetch_json, read_key

    url = context.params.get("url") or _usual_url(context)
    if not url:
        return []
    try:
        target = Target(url, read_key(context.params.get("api_key")))
        cards = fetch_json(target, "/v1/models", seconds=_PATIENCE_SECONDS)["data"]
        names = [name for card in cards for name in (card["id"], *card["aliases"])]
    except (NotAnswering, KeyError, TypeError, click.UsageError):
        return []
    return [name for name in names if name.startswith(begun)]


def _usual_url(context: click.Context) -> str:
    params = context.command.params
    usual = next((one.get_default(context) for one in params if one.name == "url"), None)
    return usual if isinstance(usual, str) else ""
