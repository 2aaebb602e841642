"""The exception for a spec that cannot be served, and the reports of a load in progress."""

from collections.abc import Callable

from shards.wire.exit_codes import ExitCode

Report = Callable[[str], None]
"""A callback for one line of progress while loading (`loading weights, 120 of 310`)."""


class Refusal(Exception):
    """This spec cannot be served. The message names the finding, the expectation and the remedy.

    Attributes:
        exit_code: the exit code of the shard, by which the supervisor restarts it or does not.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.MODEL) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def notes_of(report: Report) -> tuple[list[str], Report]:
    """Return a list, and a report that also appends each line to it."""
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        report(line)

    return notes, note
