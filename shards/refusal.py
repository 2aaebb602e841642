"""How the parts of a shard say that a spec cannot be served, and how far loading has come."""

from collections.abc import Callable

from shards.wire.exit_codes import ExitCode

Report = Callable[[str], None]
"""Called while loading with one line on what is being done (`loading weights, 120 of 310`)."""


class Refusal(Exception):
    """This spec cannot be served. The message says what was found, expected, and what to do.

    Attributes:
        exit_code: how the shard ends; tells the supervisor whether trying again can help.
    """

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.MODEL) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def notes_of(report: Report) -> tuple[list[str], Report]:
    """Return a list, and a report that also notes each line in it."""
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        report(line)

    return notes, note
