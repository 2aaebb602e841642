"""`gateway stop`: end a gateway in the background, after the requests that it has accepted."""

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.detached import Place, Running, place_of, running_places
from gateway.cli.help_text import examples

_NOTE_SECONDS = 5.0

port_option = click.option(
    "--port",
    metavar="N",
    type=click.IntRange(1, 65535),
    help="Port of the gateway (default: that of the only one that runs in the background).",
)


@click.command(epilog=examples("gateway stop", "gateway stop --port 9000 --timeout 60"))
@port_option
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Longest wait for its end (default: none; its drain_seconds is the bound).",
)
def stop(port: int | None, timeout: float | None) -> None:
    """Stop a gateway in the background, which `serve --detach` started.

    Requests that it has accepted finish, then its shards end. The command returns when it has
    ended.

    \b
    Exit codes:
      0    stopped
      1    it has not ended within --timeout; it goes on draining
      2    no gateway runs in the background
      130  interrupted; it goes on draining
    """
    place = chosen(port)
    with place.running() as running:
        if running is None:
            stale = "; the pid file of one that had ended is removed" * place.remove_stale()
            fail(_none(f" on port {place.port}") + stale, exit_codes.DOWN)
        if not running.is_stopping:
            place.mark_stopping()
            running.ask_to_end()
        _wait(running, timeout)
    place.remove_stale()
    click.echo(f"stopped the gateway on port {place.port} (process {running.pid})")


def _wait(running: Running, timeout: float | None) -> None:
    """Wait for the end of a gateway; end the command if it does not come in time."""
    first = _NOTE_SECONDS if timeout is None else min(_NOTE_SECONDS, timeout)
    if running.has_ended(first):
        return
    rest = None if timeout is None else timeout - first
    if rest is None or rest > 0:
        click.echo(f"process {running.pid} finishes its requests ...", err=True)
        if running.has_ended(rest):
            return
    fail(
        f"process {running.pid} has not ended within {timeout:g} s: it goes on draining",
        exit_codes.REFUSED,
    )


def chosen(port: int | None) -> Place:
    """Return the place of a port, or the only one with a gateway; else end the command."""
    if port is not None:
        return place_of(port)
    found = running_places()
    if not found:
        fail(_none(""), exit_codes.DOWN)
    if len(found) > 1:
        ports = ", ".join(str(place.port) for place in found)
        raise click.UsageError(f"gateways run in the background on ports {ports}: name one, --port")
    return found[0]


def _none(where: str) -> str:
    return (
        f"no gateway runs in the background{where}. One that runs in a terminal ends with Ctrl-C, "
        "a service with `systemctl stop`"
    )
