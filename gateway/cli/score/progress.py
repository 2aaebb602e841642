"""A progress bar for long work, on terminals only."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

from gateway.cli.console import console

PROGRESS_AFTER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Progress:
    """A counter, its total, and the end of its display on the terminal.

    Attributes:
        advance: adds to the counter.
        stop: ends the display.
        set_total: sets the total, once it is found, from any thread.
        is_shown: whether there is a display.
    """

    advance: Callable[[int], None]
    stop: Callable[[], None]
    set_total: Callable[[int], None]
    is_shown: bool = True


_NOT_SHOWN = Progress(lambda _count: None, lambda: None, lambda _total: None, is_shown=False)


@contextlib.contextmanager
def progress_bar(
    total: int | None,
    *,
    shown: bool = True,
    title: str = "",
    unit: str = "documents",
    done: int = 0,
) -> Iterator[Progress]:
    """Yield a progress bar that appears after a while; needs a running event loop.

    Args:
        total: the number that is to be reached; `None` while it is unknown.
        shown: false for no display.
        title: text before the bar.
        unit: name of what is counted.
        done: the number that was reached before; the time that is left is estimated without it.
    """
    if not shown or not sys.stderr.isatty() or not find_spec("rich"):
        yield _NOT_SHOWN
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
    )
    bar = Bar(*columns, console=console(stderr=True), transient=True, refresh_per_second=4)
    line = bar.add_task(title, total=total, completed=done)
    timer = asyncio.get_running_loop().call_later(PROGRESS_AFTER_SECONDS, bar.start)

    def stop() -> None:
        timer.cancel()
        bar.stop()

    try:
        yield Progress(
            advance=lambda count: bar.update(line, advance=count),
            stop=stop,
            set_total=lambda found: bar.update(line, total=found),
        )
    finally:
        stop()
