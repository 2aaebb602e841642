"""Rows of input files, taken in packs: as many as share a request.

Standard input and pipes are read in a thread, since a read from them may take as long as it likes.
That thread is a daemon: the end of the command does not wait for it. A pack from a pipe has the
rows that came so far, so that no row waits for the next one.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.cli.inputs import STDIN, BadInput, BadRow, Question, is_json, lines, path_of
from gateway.cli.json_values import BadJson, json_values

Row = Question | BadRow

MOST_PACK_DOCUMENTS = 256
MOST_PACK_CHARACTERS = 500_000
"""Characters of the pairs of a pack; about a quarter of the gateway's limit of a body at most."""

_ROWS_AHEAD = 256  # of a pipe


@dataclass(slots=True)
class PackSize:
    """The number of rows of a pack, which follows the time that one takes.

    Slow models get a row at a time, so that a pack does not outlast the time limit of a request,
    and fast ones so many that a request costs little beside its scores.

    Attributes:
        rows: the present number.
        most: the largest number; 1 if rows cannot share a request.
    """

    rows: int = 1
    most: int = 128

    _QUICK_SECONDS = 0.25
    _SLOW_SECONDS = 1.0

    def took(self, rows: int, seconds: float) -> None:
        """Take the time of a pack of so many rows."""
        if seconds > self._SLOW_SECONDS:
            self.rows = max(1, min(self.rows, rows // 2))
        elif seconds < self._QUICK_SECONDS and rows >= self.rows:
            self.rows = min(self.most, 2 * self.rows)

    def was_refused(self, rows: int) -> None:
        """Take the refusal of a pack whose halves were accepted: it is over a limit."""
        self.most = max(1, min(self.most, rows // 2))
        self.rows = min(self.rows, self.most)


class RowSource:
    """The rows that are left, in their order."""

    def __init__(self, rows: Iterator[Row], *, may_block: bool) -> None:
        """Take rows; `may_block` if reading one may take long, as from a pipe."""
        self._rows = rows
        self._reader = _Reader(rows) if may_block else None
        self._error: BadInput | None = None  # of reading on, after the rows that were taken last

    async def take(self, most: int) -> list[Row]:
        """Return the next rows, at most so many, and of a pipe no more than came; [] at the end.

        Raises:
            BadInput: a file cannot be read.
        """
        if self._error:
            raise self._error
        if self._reader:
            await self._reader.wait()
        pack: list[Row] = []
        documents = characters = 0
        try:
            for row in self._reader.arrived() if self._reader else self._rows:
                pack.append(row)
                if isinstance(row, Question):
                    documents += len(row.documents)
                    characters += sum([len(each.text) for each in row.documents])
                    characters += len(row.query) * len(row.documents)
                is_full = documents >= MOST_PACK_DOCUMENTS or characters >= MOST_PACK_CHARACTERS
                if len(pack) >= most or is_full:
                    break
        except BadInput as error:
            if not pack:
                raise
            self._error = error
        return pack


class _Reader:
    """A thread that reads rows ahead, a bounded number."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self._ready: deque[Row | Exception | None] = deque()  # None: the end
        self._room = threading.Semaphore(_ROWS_AHEAD)
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def wait(self) -> None:
        """Wait until there is a row, or the end."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, daemon=True).start()
        while not self._ready:
            self._news.clear()  # a row that came just now sets it again, from the loop
            await self._news.wait()

    def arrived(self) -> Iterator[Row]:
        """Yield the rows that are there; raises an exception of reading in its place."""
        while self._ready and self._ready[0] is not None:
            row = self._ready.popleft()
            self._room.release()
            if isinstance(row, Exception):
                raise row
            if row is not None:
                yield row

    def _read(self) -> None:
        try:
            for row in self._rows:
                self._add(row)
        except Exception as error:  # raised where the rows are taken
            self._add(error)
        self._add(None)

    def _add(self, row: Row | Exception | None) -> None:
        self._room.acquire()
        self._ready.append(row)
        assert self._loop
        with suppress(RuntimeError):  # the loop is closed: the command ends
            self._loop.call_soon_threadsafe(self._news.set)


def may_block(files: Sequence[str]) -> bool:
    """Return whether one of the files is no regular file, such as standard input or a pipe."""
    return any(file == STDIN or not path_of(file).is_file() for file in files)


def count_rows(files: Sequence[str]) -> int | None:
    """Return the number of requests in regular files; `None` if a file cannot be read."""
    try:
        return sum(_count(file) for file in files)
    except (BadInput, BadJson, OSError):
        return None


def _count(file: str) -> int:
    if is_json(file):
        with path_of(file).open("rb") as stream:
            return sum(1 for _ in json_values(stream))
    if file.endswith(".tsv"):
        heads = (tuple(line.split("\t", 3)[::2]) for _, line in lines(file))
        return sum(1 for _ in _changes(heads))
    with path_of(file).open("rb") as stream:
        return sum(not raw.isspace() for raw in stream)


def _changes(values: Iterator[object]) -> Iterator[object]:
    """Yield each value that differs from the one before."""
    last: object = None
    for value in values:
        if value != last:
            yield value
        last = value
