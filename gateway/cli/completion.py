"""`gateway completion SHELL`, and the names of models for completion in other commands."""

import click

SHELLS = ("bash", "zsh", "fish")

_VARIABLE = "_GATEWAY_COMPLETE"
"""Variable that switches click to completion; click derives its name from the program's."""

_TIMEOUT_SECONDS = 1.0


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the shell code that completes `gateway` commands.

    It completes commands, options and the names of models.

    \b
    bash:  eval "$(gateway completion bash)"      in ~/.bashrc
    zsh:   eval "$(gateway completion zsh)"       in ~/.zshrc, after compinit
    fish:  gateway completion fish | source       in ~/.config/fish/config.fish

    \b
    Exit codes:
      0  printed
      2  no completion for this shell
    """
    from click.shell_completion import get_completion_class

    from gateway.cli import cli

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(cli, {}, "gateway", _VARIABLE).source())


def model_names(context: click.Context, _parameter: click.Parameter, prefix: str) -> list[str]:
    """Return the models with a prefix that the gateway of the command serves; none without one."""
    from gateway.cli.remote import NotAnswering, Target, fetch_json, read_key

    url = context.params.get("url") or _default_url(context)
    if not url:
        return []
    try:
        target = Target(url, read_key(context.params.get("api_key")))
        cards = fetch_json(target, "/v1/models", seconds=_TIMEOUT_SECONDS)["data"]
        names = [name for card in cards for name in (card["id"], *card["aliases"])]
    except (NotAnswering, KeyError, TypeError, click.UsageError):
        return []
    return [name for name in names if name.startswith(prefix)]


def _default_url(context: click.Context) -> str:
    """Return the URL that the command takes without `--url`."""
    params = context.command.params
    url = next((param.get_default(context) for param in params if param.name == "url"), None)
    return url if isinstance(url, str) else ""
