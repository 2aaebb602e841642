"""`gateway status --watch`: looking again and again, and the ways to show it.

On a terminal it is one screen that is drawn anew, with rates and their course; elsewhere it is one
line a look, and with `--json` one object a look. A gateway that goes away is told and waited for.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import click

from gateway.cli import exits
from gateway.cli.keyboard import keyboard, no_keys
from gateway.cli.say import console
from gateway.cli.trends import Trends, sparkline

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Status = dict[str, Any]
Look = Callable[[], tuple[Status | str, int]]
"""Returns a status, or why there is none, and the exit code that says the same."""

WORDS = {exits.OK: "ready", exits.DEGRADED: "degraded", exits.DOWN: "down"}
SPARK_COLUMNS = 30
PAUSE = ("p", " ")
QUIT = ("q", "Q", "\x04")


class Show(Protocol):
    """Shows one look; `trends` has it already."""

    def __call__(self, found: Status | str, code: int, trends: Trends) -> None: ...


def watch(
    look: Look,
    show_json: Callable[[Status | str], None],
    seconds: float,
    url: str,
    *,
    as_json: bool,
) -> int:
    """Look until Ctrl-C or `q`; return the exit code of the last look."""
    if not as_json and sys.stdout.isatty():
        return _on_screen(look, seconds, url)
    show = partial(_json_line, show_json) if as_json else _line
    trends, code = Trends(), exits.DOWN
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
    """Print one look as one line, as a log has it."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    said = found if isinstance(found, str) else summary(found, trends)
    click.echo(f"{now} {WORDS[code]}: {said}")


def summary(found: Status, trends: Trends) -> str:
    """Return a status as one line."""
    shards = [shard for model in found["models"] for shard in model["shards"]]
    able = sum(model["state"] in {"ready", "degraded"} for model in found["models"])
    ready = sum(shard["state"] == "ready" for shard in shards)
    return (
        f"{able}/{len(found['models'])} models, {ready}/{len(shards)} shards, "
        f"queue {figure(trends.queue[-1], 0)}, {figure(trends.documents[-1])} docs/s, "
        f"{figure(trends.tokens[-1], 0)} tokens/s, p95 {figure(trends.p95_ms[-1])} ms"
    )


def figure(value: float | None, digits: int = 1) -> str:
    """Return a number for people; what is not known yet is a dash."""
    return "-" if value is None else f"{value:,.{digits}f}"


# -- the screen ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Screen:
    """What the screen shows between two looks.

    Attributes:
        url: where the gateway is.
        seconds: between two looks.
        has_keys: whether keys can be pressed.
        trends: what all looks have shown.
        found: the last status there was; None before the first.
        problem: why there is none now.
        answered: monotonic time of the last status.
        is_paused: whether the looks wait.
    """

    url: str
    seconds: float
    has_keys: bool
    trends: Trends = field(default_factory=Trends)
    found: Status | None = None
    problem: str = ""
    answered: float | None = None
    is_paused: bool = False

    def take(self, found: Status | str, now: float) -> None:
        """Remember a look."""
        if isinstance(found, str):
            self.trends.add(None)
            self.problem = found
            return
        self.trends.add(found)
        self.found, self.problem, self.answered = found, "", now


def _on_screen(look: Look, seconds: float, url: str) -> int:
    from rich.live import Live

    out, code = console(), exits.DOWN
    with keyboard() as wait:
        screen = Screen(url, seconds, has_keys=wait is not None)
        try:
            with Live(console=out, screen=True, auto_refresh=False) as live:
                while True:
                    if not screen.is_paused:
                        found, code = look()
                        screen.take(found, time.monotonic())
                    live.update(render_screen(screen, out, time.monotonic()), refresh=True)
                    if not _obey((wait or no_keys)(seconds), screen):
                        break
        except KeyboardInterrupt:
            pass
    _leave(screen, out)
    return code


def _obey(key: str, screen: Screen) -> bool:
    """Do what a key says; return whether to go on."""
    if key in PAUSE:
        screen.is_paused = not screen.is_paused
    return key not in QUIT


def _leave(screen: Screen, out: "Console") -> None:
    """Leave the last table on the terminal, since the screen of the live one is gone."""
    from gateway.cli.status import render

    if screen.found:
        out.print(render(screen.found))
    if screen.problem:
        click.echo(screen.problem, err=True)


def render_screen(screen: Screen, out: "Console", now: float) -> "RenderableType":
    """Return the whole screen: figures over time, models and shards, keys."""
    from rich.console import Group
    from rich.text import Text

    from gateway.cli.fitting import fitted

    head = [*_figures(screen.trends), _said(screen, now)]
    foot = Text(_keys(screen), style="dim")
    if screen.found is None:
        return Group(*head, Text(), foot)
    room = out.height - len(head) - 1
    table = fitted(screen.found, screen.trends, out, room)
    if screen.problem:
        table.style = "dim"
    return Group(*head, table, foot)


def _figures(trends: Trends) -> list["RenderableType"]:
    from rich.text import Text

    lines = (
        ("docs/s", trends.documents, 1),
        ("tokens/s", trends.tokens, 0),
        ("p95 ms", trends.p95_ms, 1),
        ("queue", trends.queue, 0),
    )
    return [
        Text.assemble(
            (f"{name:>8} ", "dim"),
            (sparkline(values, SPARK_COLUMNS), "cyan"),
            (f" {figure(values[-1] if values else None, digits):>10}", "bold"),
            (
                f"  peak {figure(max((v for v in values if v is not None), default=None), digits)}",
                "dim",
            ),
        )
        for name, values, digits in lines
    ]


def _said(screen: Screen, now: float) -> "RenderableType":
    from rich.text import Text

    if not screen.problem:
        state = "paused" if screen.is_paused else f"every {screen.seconds:g} s"
        return Text(
            f"{screen.url}, {state}", style="yellow" if screen.is_paused else "dim", no_wrap=True
        )
    since = ""
    if screen.answered is not None:
        since = f"no answer for {now - screen.answered:.0f} s, below is what was: "
    return Text(f"{since}{screen.problem}", style="red", no_wrap=True, overflow="ellipsis")


def _keys(screen: Screen) -> str:
    if not screen.has_keys:
        return "Ctrl-C ends"
    return f"q ends   p {'goes on' if screen.is_paused else 'pauses'}"
