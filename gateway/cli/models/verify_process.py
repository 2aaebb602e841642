"""The process that examines a model: its start, its progress, its report and its end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Protocol, Self

from shards.wire.spec import ShardSpec


class NoReport(Exception):
    """The process ended without a report."""


class Progress(Protocol):
    """Display of the progress of an examination."""

    def stage(self, line: str) -> None: ...

    def step(self, done: int, total: int) -> None: ...


def examine(
    spec: ShardSpec, pairs: int, progress: Progress, unquantised: str = ""
) -> dict[str, Any]:
    """Return the report of the process.

    Args:
        spec: the shard whose model is examined.
        pairs: the number of pairs to compare.
        progress: takes stages and steps.
        unquantised: the source of the same model with plain weights; empty without one.

    Raises:
        NoReport: there was none.
    """
    import orjson

    with _running(spec, pairs, unquantised) as (process, lines):
        for line in lines:
            message: dict[str, Any] = orjson.loads(line)
            if "stage" in message:
                progress.stage(message["stage"])
            elif "progress" in message:
                progress.step(*message["progress"])
            else:
                report: dict[str, Any] = message["report"]
                return report
        process.join()
        code = process.exitcode
    end = f"by signal {-code}" if code < 0 else f"with code {code}"
    raise NoReport(
        f"the process that examined {spec.model} ended {end}, without a report; its output is above"
    )


@contextmanager
def _running(spec: ShardSpec, pairs: int, unquantised: str) -> Iterator[tuple[Any, IO[str]]]:
    """Run the process for the length of the block; yield it and its lines."""
    from gateway.supervision.spawn import spawn_verification

    ours, theirs = os.pipe()
    with os.fdopen(ours, encoding="utf-8") as lines:
        try:
            process = spawn_verification(spec, theirs, pairs, unquantised)
        finally:
            os.close(theirs)
        try:
            yield process, lines
        finally:
            process.kill()
            process.join()


class SilentProgress:
    """No display."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def stage(self, line: str) -> None:
        """Show nothing."""

    def step(self, done: int, total: int) -> None:
        """Show nothing."""


class ProgressBar:
    """A line on the terminal with the current stage, and a bar while pairs are compared."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        from gateway.cli.console import console

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
        """Show the current stage."""
        self._progress.update(self._task, description=line)

    def step(self, done: int, total: int) -> None:
        """Show how much of the stage is done."""
        self._progress.update(self._task, completed=done, total=total)
