"""The output file of a batch, and its record, by which an interrupted run goes on.

The output has one JSON line per row of the input, in its order, so the number of whole lines is the
number of rows that are done. Beside it, `OUTPUT.run.json` records the options of the run and a
digest of each input file. A run is resumed only with the same options and files, and only if the
lines are the answers to these rows; everything else would mix two runs in one file in silence.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from gateway.cli.inputs import BadRow, path_of
from gateway.cli.score.row_source import Row

RECORD_ENDING = ".run.json"
_NOT_GIVEN = (None, False, (), "")
_TAIL_BYTES = 64 * 1024


class CannotResume(Exception):
    """A run that cannot go on; the message has the reason and the remedy."""


class CannotWrite(Exception):
    """An output file that cannot be written or must not be overwritten."""


class InputFile(msgspec.Struct, frozen=True):
    """An input file, by its content; the name serves messages only."""

    name: str
    bytes: int
    sha256: str


class RunRecord(msgspec.Struct, frozen=True):
    """The things that the rows of one output have in common.

    Attributes:
        options: the options that decide the answers.
        inputs: the input files.
        weights: fingerprint of the weights that score; empty if the server has none.
    """

    options: dict[str, str]
    inputs: list[InputFile]
    weights: str = ""

    def difference(self, now: "RunRecord") -> str:
        """Return the first thing in which a run differs from this one; empty if none does."""
        for name in {**self.options, **now.options}:
            was, given = self.options.get(name, ""), now.options.get(name, "")
            if was != given:
                return f"{name} was {was or 'not given'} and is now {given or 'not given'}"
        if len(self.inputs) != len(now.inputs):
            return f"it had {len(self.inputs)} input files, and now there are {len(now.inputs)}"
        for before, after in zip(self.inputs, now.inputs, strict=True):
            if (before.bytes, before.sha256) != (after.bytes, after.sha256):
                return f"{after.name} is not the file that it was ({before.name})"
        if self.weights and now.weights and self.weights != now.weights:
            return "the model has other weights now"
        return ""


class DoneRow(msgspec.Struct):
    """The fields of a line of the output by which its row is recognised."""

    query: str = ""
    id: str = ""
    error: str = ""


def record_of(options: Mapping[str, object], files: Sequence[str], weights: str = "") -> RunRecord:
    """Return the record of a run; options that are not given are left out. Reads all files."""
    given = {name: _shown(value) for name, value in options.items() if value not in _NOT_GIVEN}
    return RunRecord(given, [_digest(file) for file in files], weights)


class RunOutput:
    """The output file of a batch, locked against other runs while it is open.

    Attributes:
        done: number of rows that the file had when it was opened.
    """

    def __init__(self, path: Path, stream: IO[bytes], done: int = 0) -> None:
        self.path = path
        self.done = done
        self._stream = stream

    def write(self, rows: bytes) -> None:
        """Write whole rows at once; a process that is killed leaves what was written before.

        Raises:
            CannotWrite: the disk is full, or fails.
        """
        left = memoryview(rows)
        try:
            while left:
                left = left[self._stream.write(left) :]
        except OSError as error:
            raise CannotWrite(f"{self.path} cannot be written: {error.strerror}") from None

    def close(self) -> None:
        self._stream.close()


def open_output(path: Path, record: RunRecord | None, *, resume: bool) -> RunOutput:
    """Open the output of a run that begins, or of one that goes on after its last whole row.

    Args:
        path: the output file.
        record: the record of this run; `None` for a run that cannot be resumed.
        resume: whether a file that exists is gone on with.

    Raises:
        CannotWrite: the file exists, is used by another run, or cannot be written.
        CannotResume: the file is not that of an interrupted run like this one.
    """
    try:
        stream = path.open("r+b" if resume and path.exists() else "xb", buffering=0)
    except FileExistsError:
        raise CannotWrite(
            f"{path} exists: remove it, choose another name, or go on with --resume"
        ) from None
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}") from None
    try:
        _lock(path, stream)
        if "r" in stream.mode and stream.seek(0, os.SEEK_END):
            _check_record(path, record)
            return RunOutput(path, stream, _cut_to_whole_rows(stream))
        if record:
            _write_record(path, record)
        return RunOutput(path, stream)
    except BaseException:
        stream.close()
        raise


def skip_done(output: RunOutput, rows: Iterator[Row]) -> tuple[int, int]:
    """Pass over the rows that are done; return how many were refused, and how many malformed.

    Raises:
        CannotResume: a line of the output is not the answer to its row.
    """
    refused = malformed = 0
    with output.path.open("rb") as stream:
        for number, line in zip(range(1, output.done + 1), stream, strict=False):
            row = next(rows, None)
            try:
                done = msgspec.json.decode(line, type=DoneRow)
            except msgspec.MsgspecError:
                done = None
            if row is None or done is None or not _answers(done, row):
                raise CannotResume(
                    f"{output.path}, line {number}: it is not the answer to row {number} of the "
                    "input: remove the output to begin anew"
                )
            malformed += isinstance(row, BadRow)
            refused += bool(done.error) and not isinstance(row, BadRow)
    return refused, malformed


def _answers(done: DoneRow, row: Row) -> bool:
    if isinstance(row, BadRow):
        return done.error == row.error
    return (done.query, done.id) == (row.query, row.id)


def _lock(path: Path, stream: IO[bytes]) -> None:
    """Lock the file until it is closed; the kernel does that for a process that is killed."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotWrite(f"{path} is written by another run: wait for it, or end it") from None


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + RECORD_ENDING)


def _write_record(path: Path, record: RunRecord) -> None:
    try:
        _record_path(path).write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    except OSError as error:
        raise CannotWrite(f"{_record_path(path)} cannot be written: {error.strerror}") from None


def _check_record(path: Path, record: RunRecord | None) -> None:
    """Raise `CannotResume` unless the file's record is that of a run like this one."""
    try:
        before = msgspec.json.decode(_record_path(path).read_bytes(), type=RunRecord)
    except (OSError, msgspec.MsgspecError):
        raise CannotResume(
            f"{path} has rows, and no record of their run in {_record_path(path)}: remove it, or "
            "choose another name"
        ) from None
    difference = before.difference(record) if record else "the input cannot be read twice"
    if difference:
        raise CannotResume(
            f"{path} is the output of another run: {difference}. Give the same options and files, "
            "or remove it to begin anew"
        )


def _cut_to_whole_rows(stream: IO[bytes]) -> int:
    """Drop a last line without an end; return the number of lines, and stand behind them."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - _TAIL_BYTES)
        stream.seek(start)
        at = stream.read(end - start).rfind(b"\n")
        if at >= 0:
            end = start + at + 1
            break
        end = start
    stream.truncate(end)
    stream.seek(0)
    done = 0
    while chunk := stream.read(1024 * 1024):
        done += chunk.count(b"\n")
    return done


def _digest(file: str) -> InputFile:
    """Return the digest of a file; raises `OSError`."""
    with path_of(file).open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256")
        return InputFile(file, stream.tell(), found.hexdigest())


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
