"""Calls of the admin endpoints, and the wait for their outcome, for several commands."""

import time
from collections.abc import Callable
from typing import Any

import click

from gateway.cli import exit_codes
from gateway.cli.console import fail
from gateway.cli.remote import NotAnswering, Target, fetch_json, refusal

_TIMEOUT_SECONDS = 30.0  # a machine that loads models may be slow to answer
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0

Status = dict[str, Any]


def wait_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--wait/--no-wait`."""
    return click.option(
        "--wait/--no-wait",
        default=True,
        help="Return on completion, or at once (default: --wait).",
    )(command)


def call_admin(target: Target, path: str, **query: str) -> Any:
    """Post to an admin endpoint; end the command if the gateway refuses or does not answer."""
    found = fetch(target, path, method="POST", **query)
    if not isinstance(found, dict) or "error" in found:
        fail(refusal(target, found), exit_codes.REFUSED)
    return found


def poll_status(target: Target, is_done: Callable[[Status], bool]) -> Status:
    """Return the first status that meets a condition; end the command if the gateway goes away."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        found: Status = fetch(target, "/status")
        if is_done(found):
            return found
        time.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, 1.5 * pause)


def fetch(target: Target, path: str, method: str = "GET", **query: str) -> Any:
    """Return the JSON body of a reply; end the command if the gateway does not answer."""
    try:
        return fetch_json(target, path, method=method, seconds=_TIMEOUT_SECONDS, **query)
    except NotAnswering as error:
        fail(str(error), exit_codes.DOWN)
