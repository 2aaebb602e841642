"""What `gateway reload` and `gateway drain` share: asking, and looking until it is done."""

import time
from collections.abc import Callable
from typing import Any

import click

from gateway.cli import exits
from gateway.cli.remote import NotAnswering, Target, fetch_json, refusal
from gateway.cli.say import fail

_SECONDS = 30.0  # a machine that loads models may be slow to answer
_FIRST_LOOK_SECONDS = 0.1
_LAST_LOOK_SECONDS = 1.0

Status = dict[str, Any]


def wait_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--wait/--no-wait`."""
    return click.option(
        "--wait/--no-wait", default=True, show_default=True, help="Return when it is done."
    )(command)


def ask(target: Target, path: str, **query: str) -> Any:
    """Have the gateway do something; end the command if it refuses or does not answer."""
    found = fetch(target, path, method="POST", **query)
    if not isinstance(found, dict) or "error" in found:
        fail(refusal(target, found), exits.REFUSED)
    return found


def look_until(target: Target, is_done: Callable[[Status], bool]) -> Status:
    """Return the first status that is as wanted; end the command if the gateway goes away."""
    seconds = _FIRST_LOOK_SECONDS
    while True:
        found: Status = fetch(target, "/status")
        if is_done(found):
            return found
        time.sleep(seconds)
        seconds = min(_LAST_LOOK_SECONDS, 1.5 * seconds)


def fetch(target: Target, path: str, method: str = "GET", **query: str) -> Any:
    """Return what a path answers with; end the command if nothing does."""
    try:
        return fetch_json(target, path, method=method, seconds=_SECONDS, **query)
    except NotAnswering as error:
        fail(str(error), exits.DOWN)
