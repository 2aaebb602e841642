"""`gateway logs`: the log of a gateway in the background."""

import contextlib
import os
import time
from pathlib import Path
from typing import BinaryIO

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.detached import Place, place_of, places, running_places
from gateway.cli.help_text import examples
from gateway.cli.operate.stop import port_option

_BLOCK = 65_536
_PAUSE_SECONDS = 0.2


@click.command(epilog=examples("gateway logs", "gateway logs -f", "gateway logs -n 1000 | jq"))
@port_option
@click.option("-f", "--follow", is_flag=True, help="New lines as they come, until Ctrl-C.")
@click.option(
    "-n",
    "--lines",
    metavar="N",
    type=click.IntRange(min=0),
    default=100,
    help="Number of lines at the end of the log to begin with (default: 100).",
)
def logs(port: int | None, follow: bool, lines: int) -> None:
    """Show the log of a gateway in the background.

    Without --port it is the one that runs, or else the one that ran last. The log of the run before
    lies beside it, with `.1` at the end of its name.

    \b
    Exit codes:
      0  shown
      2  there is no log
    """
    place = _chosen(port)
    try:
        stream = place.log.open("rb")
    except OSError as error:
        fail(
            f"{place.log} cannot be read ({error.strerror}): start a gateway with `gateway serve "
            "--detach`",
            exit_codes.DOWN,
        )
    stream.seek(start_of_last(stream, lines))
    _copy(stream)
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(place.log, stream)


def _chosen(port: int | None) -> Place:
    if port is not None:
        return place_of(port)
    found = running_places() or places()
    if not found:
        fail(
            "no gateway was started in the background: `gateway serve --detach` starts one",
            exit_codes.DOWN,
        )
    if len(found) > 1:
        ports = ", ".join(str(place.port) for place in found)
        click.echo(f"port {found[0].port}, the newest log of ports {ports}", err=True)
    return found[0]


def _copy(stream: BinaryIO) -> bool:
    """Print the rest of a file; return whether there was any."""
    copied = False
    while block := stream.read(_BLOCK):
        copied = True
        click.echo(block, nl=False)
    return copied


def _follow(log: Path, stream: BinaryIO) -> None:
    """Print what is added to a log, and to the one that replaces it, until Ctrl-C."""
    while True:
        if not _copy(stream):
            time.sleep(_PAUSE_SECONDS)
            stream = _present(log, stream)


def _present(log: Path, stream: BinaryIO) -> BinaryIO:
    """Return the stream of the log that is there now: a start has replaced it, or it was cut."""
    with contextlib.suppress(FileNotFoundError):
        found, before = log.stat(), os.fstat(stream.fileno())
        if not os.path.samestat(found, before):
            _copy(stream)  # what came before it was replaced
            return log.open("rb")
        if found.st_size < stream.tell():
            stream.seek(0)
    return stream


def start_of_last(stream: BinaryIO, lines: int) -> int:
    """Return the place of the first of the last lines of a file."""
    end = stream.seek(0, os.SEEK_END)
    at, wanted = end, lines + 1  # the line feed before the first of them is one more
    while at > 0:
        start = max(0, at - _BLOCK)
        stream.seek(start)
        block = stream.read(at - start)
        if at == end and not block.endswith(b"\n"):
            wanted -= 1  # the last line is not complete
        place = len(block)
        while wanted and (place := block.rfind(b"\n", 0, place)) >= 0:
            wanted -= 1
        if not wanted:
            return min(end, start + place + 1)
        at = start
    return 0
