"""The process that examines a model, as the command sees it: started, listened to, ended."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Protocol, Self

from shards.wire.spec import ShardSpec


class Ended(Exception):
    """The process ended before it had a report."""


class Progress(Protocol):
    """Shows how far an examination is."""

    def stage(self, line: str) -> None: ...

    def step(self, done: int, total: int) -> None: ...


def examine(spec: ShardSpec, pairs: int, progress: Progress) -> dict[str, Any]:
    """Return the last word of the process, `{"report": ...}`.

    Raises:
        Ended: there was none.
    """
    import orjson

    with _running(spec, pairs) as (process, lines):
        for line in lines:
            said: dict[str, Any] = orjson.loads(line)
            if "stage" in said:
                progress.stage(said["stage"])
            elif "progress" in said:
                progress.step(*said["progress"])
            else:
                return said
        process.join()
        code = process.exitcode
    how = f"by signal {-code}" if code < 0 else f"with code {code}"
    raise Ended(
        f"the process that examined {spec.model} ended {how}, without a report; what it wrote is "
        "above"
    )


@contextmanager
def _running(spec: ShardSpec, pairs: int) -> Iterator[tuple[Any, IO[str]]]:
    """Run the process while the block does; yield it, and what it writes."""
    from gateway.spawn import spawn_verification

    ours, theirs = os.pipe()
    with os.fdopen(ours, encoding="utf-8") as lines:
        try:
            process = spawn_verification(spec, theirs, pairs)
        finally:
            os.close(theirs)
        try:
            yield process, lines
        finally:
            process.kill()
            process.join()


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def stage(self, line: str) -> None:
        """Show nothing."""

    def step(self, done: int, total: int) -> None:
        """Show nothing."""


class Bar:
    """A line on the terminal with what is being done, and a bar while pairs are compared."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from gateway.cli.say import console

        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def stage(self, line: str) -> None:
        """Show what is being done."""
        self._progress.update(self._task, description=line)

    def step(self, done: int, total: int) -> None:
        """Show how much of it is done."""
        self._progress.update(self._task, completed=done, total=total)
