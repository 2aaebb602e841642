"""`gateway status --watch`: repeated looks at the status, until a key or Ctrl-C ends them.

On a terminal one screen is redrawn, with rates and their history. Elsewhere each look prints one
line, or with `--json` one object. A gateway that goes away is reported, and the looks go on.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol

import click

from gateway.cli import exit_codes
from gateway.cli.console import console
from gateway.cli.operate.formatting import figure
from gateway.cli.operate.keyboard import keyboard, no_keys
from gateway.cli.operate.status_table import Status, fitted
from gateway.cli.operate.trends import Trends, sparkline

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Look = Callable[[], tuple[Status | str, int]]
"""Returns a status, or the reason why there is none, and the exit code for it."""

WORDS = {exit_codes.OK: "ready", exit_codes.DEGRADED: "degraded", exit_codes.DOWN: "down"}
SPARKLINE_WIDTH = 30
PAUSE_KEYS = ("p", " ")
QUIT_KEYS = ("q", "Q", "\x04")


class Show(Protocol):
    """Prints one look, which `trends` includes already."""

    def __call__(self, found: Status | str, code: int, trends: Trends) -> None: ...


def watch(
    look: Look,
    show_json: Callable[[Status | str], None],
    seconds: float,
    url: str,
    *,
    as_json: bool,
) -> int:
    """Look repeatedly until Ctrl-C or `q`; return the exit code of the last look."""
    if not as_json and sys.stdout.isatty():
        return _on_screen(look, seconds, url)
    show = partial(_json_line, show_json) if as_json else _line
    trends, code = Trends(), exit_codes.DOWN
    try:
        while True:
            found, code = look()
            trends.add(found if isinstance(found, dict) else None)
            show(found, code, trends)
            time.sleep(seconds)
    except KeyboardInterrupt:
        return code


def _json_line(show_json: Callable[[Status | str], None], found: Status | str, *_: object) -> None:
    show_json(found)


def _line(found: Status | str, code: int, trends: Trends) -> None:
    """Print one look as one line with a time, as in a log."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    text = found if isinstance(found, str) else summary(found, trends)
    click.echo(f"{now} {WORDS[code]}: {text}")


def summary(status: Status, trends: Trends) -> str:
    """Return a status as one line."""
    shards = [shard for model in status["models"] for shard in model["shards"]]
    scoring = sum(model["state"] in {"ready", "degraded"} for model in status["models"])
    ready = sum(shard["state"] == "ready" for shard in shards)
    return (
        f"{scoring}/{len(status['models'])} models, {ready}/{len(shards)} shards, "
        f"queue {figure(trends.queue[-1], 0)}, {figure(trends.documents[-1])} docs/s, "
        f"{figure(trends.tokens[-1], 0)} tokens/s, p95 {figure(trends.p95_ms[-1])} ms"
    )


# -- the screen ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Screen:
    """State of the screen between two looks.

    Attributes:
        url: address of the gateway.
        seconds: time between two looks.
        has_keys: whether there is a keyboard.
        trends: figures of all looks.
        found: the last status; None before the first.
        problem: the reason why the last look has no status; empty if it has one.
        answered: monotonic time of the last status.
        is_paused: whether no looks are taken.
    """

    url: str
    seconds: float
    has_keys: bool
    trends: Trends = field(default_factory=Trends)
    found: Status | None = None
    problem: str = ""
    answered: float | None = None
    is_paused: bool = False

    def add(self, found: Status | str, now: float) -> None:
        """Add a look."""
        if isinstance(found, str):
            self.trends.add(None)
            self.problem = found
            return
        self.trends.add(found)
        self.found, self.problem, self.answered = found, "", now


def _on_screen(look: Look, seconds: float, url: str) -> int:
    from rich.live import Live

    out, code = console(), exit_codes.DOWN
    with keyboard() as wait:
        screen = Screen(url, seconds, has_keys=wait is not None)
        try:
            with Live(console=out, screen=True, auto_refresh=False) as live:
                while True:
                    if not screen.is_paused:
                        found, code = look()
                        screen.add(found, time.monotonic())
                    live.update(render_screen(screen, out, time.monotonic()), refresh=True)
                    if not _apply((wait or no_keys)(seconds), screen):
                        break
        except KeyboardInterrupt:
            pass
    _print_last(screen, out)
    return code


def _apply(key: str, screen: Screen) -> bool:
    """Apply a key to the screen; return whether to go on."""
    if key in PAUSE_KEYS:
        screen.is_paused = not screen.is_paused
    return key not in QUIT_KEYS


def _print_last(screen: Screen, out: "Console") -> None:
    """Print the last table once more: the terminal has dropped the screen."""
    if screen.found:
        for line in fitted(screen.found, out.width, screen.trends):
            out.print(line, soft_wrap=True)
    if screen.problem:
        click.echo(screen.problem, err=True)


def render_screen(screen: Screen, out: "Console", now: float) -> "RenderableType":
    """Return the whole screen: figures over time, models and shards, keys."""
    from rich.console import Group
    from rich.text import Text

    head = [*_figures(screen.trends), _headline(screen, now)]
    foot = Text(_keys(screen), style="dim")
    if screen.found is None:
        return Group(*head, Text(), foot)
    room = out.height - len(head) - 1
    table = fitted(screen.found, out.width, screen.trends, room)
    if screen.problem:
        for line in table:
            line.stylize("dim")
    return Group(*head, *table, foot)


def _figures(trends: Trends) -> list["RenderableType"]:
    from rich.text import Text

    lines = (
        ("docs/s", trends.documents, 1),
        ("tokens/s", trends.tokens, 0),
        ("p95 ms", trends.p95_ms, 1),
        ("queue", trends.queue, 0),
    )
    texts: list[RenderableType] = []
    for name, values, digits in lines:
        last = values[-1] if values else None
        peak = max((value for value in values if value is not None), default=None)
        texts.append(
            Text.assemble(
                (f"{name:>8} ", "dim"),
                (sparkline(values, SPARKLINE_WIDTH), "cyan"),
                (f" {figure(last, digits):>10}", "bold"),
                (f"  peak {figure(peak, digits)}", "dim"),
            )
        )
    return texts


def _headline(screen: Screen, now: float) -> "RenderableType":
    from rich.text import Text

    if not screen.problem:
        state = "paused" if screen.is_paused else f"every {screen.seconds:g} s"
        return Text(
            f"{screen.url}, {state}", style="yellow" if screen.is_paused else "dim", no_wrap=True
        )
    since = ""
    if screen.answered is not None:
        since = f"no answer for {now - screen.answered:.0f} s, the last status is below: "
    return Text(f"{since}{screen.problem}", style="red", no_wrap=True, overflow="ellipsis")


def _keys(screen: Screen) -> str:
    if not screen.has_keys:
        return "Ctrl-C quit"
    return f"q quit   p {'resume' if screen.is_paused else 'pause'}"
