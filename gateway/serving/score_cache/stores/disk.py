"""The store on disk: a file of scores behind two threads, one that reads and one that writes.

A read never waits for a write: SQLite shows a reader the state before it.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.serving.score_cache.stores.backend import Entry, StoreFailed, Usage
from gateway.serving.score_cache.stores.score_file import (
    ScoreFile,
    connect,
    is_damage,
    move_damaged,
    read,
    store_error,
)
from gateway.serving.score_cache.stores.worker import Worker

_Result = TypeVar("_Result")
_MOST_READS = 32  # more mean that the disk does not answer


class DiskBackend:
    """The scores of one file; see `Backend`.

    Args:
        path: the file; it is made when it is missing.
        megabytes: the bound on its size, in MiB.
    """

    def __init__(self, path: Path, megabytes: int) -> None:
        self._path, self._megabytes = path, megabytes
        self._reads, self._writes = Worker("score reader"), Worker("score writer")
        self._reading = 0
        self._file: ScoreFile | None = None
        self._reader: sqlite3.Connection | None = None
        self._opened = 0  # the number of times that the file was opened
        self._reader_of = 0
        self._usage = Usage(max_bytes=megabytes * 1024**2)

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    @property
    def usage(self) -> Usage:
        """The size after the last write or probe."""
        return self._usage

    async def read(
        self, identity: bytes, keys: Sequence[bytes]
    ) -> tuple[bytes | None, Mapping[bytes, bytes]]:
        """See `Backend`."""
        if self._reading >= _MOST_READS:
            raise StoreFailed(f"{_MOST_READS} reads wait for the disk")
        self._reading += 1
        future = self._reads.submit(partial(self._read, identity, keys))
        future.add_done_callback(lambda _: self._has_read())
        return await asyncio.wrap_future(future)

    def _has_read(self) -> None:
        self._reading -= 1

    def _read(
        self, identity: bytes, keys: Sequence[bytes]
    ) -> tuple[bytes | None, Mapping[bytes, bytes]]:
        """Read, in the thread of reads."""
        if not self._opened:
            return None, {}
        try:
            return read(self._open_reader(), identity, keys)
        except (sqlite3.Error, OSError) as error:
            self._close_reader()
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._writes.submit(self._replace_damaged)
            raise store_error(error) from error

    def _open_reader(self) -> sqlite3.Connection:
        if self._reader is None or self._reader_of != self._opened:
            self._close_reader()
            self._reader_of, self._reader = self._opened, connect(self._path)
        return self._reader

    async def epoch(self, identity: bytes, new: bytes) -> bytes:
        """See `Backend`."""

        def find(file: ScoreFile) -> bytes:
            file.tidy()
            return file.epoch(identity, new)

        return await self._with_file(find)

    async def renew(self, identity: bytes, new: bytes) -> None:
        """See `Backend`."""
        await self._with_file(lambda file: file.renew(identity, new))

    async def write(self, entries: Sequence[Entry]) -> None:
        """See `Backend`."""
        await self._with_file(lambda file: file.write(entries, time.time()))

    async def _with_file(self, work: Callable[[ScoreFile], _Result]) -> _Result:
        return await asyncio.wrap_future(self._writes.submit(partial(self._do, work)))

    def _do(self, work: Callable[[ScoreFile], _Result]) -> _Result:
        """Do something with the file, in the thread of writes; open it first if need be."""
        try:
            file = self._open()
            result = work(file)
            self._usage = Usage(file.entries, file.size, self._usage.max_bytes)
        except (sqlite3.Error, OSError) as error:
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._replace_damaged()
            raise store_error(error) from error
        return result

    def _open(self) -> ScoreFile:
        if self._file is not None and self._is_there(self._file):
            return self._file
        self._close_file()
        self._file = ScoreFile(self._path, self._megabytes)
        self._opened += 1
        self._reads.submit(self._open_reader)  # before a request waits for it
        return self._file

    def _is_there(self, file: ScoreFile) -> bool:
        """Return whether the open file is still the one of that name."""
        try:
            return self._path.stat().st_ino == file.inode
        except FileNotFoundError:
            return False

    def _replace_damaged(self) -> None:
        """Start a new file if this one is damaged, in the thread of writes."""
        self._close_file()
        move_damaged(self._path)

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    async def close(self) -> None:
        """See `Backend`."""
        # The last one to close moves the log into the file; of two at once neither is the last.
        for worker, close in ((self._reads, self._close_reader), (self._writes, self._close_file)):
            closing = worker.submit(close)
            worker.stop()
            await asyncio.wrap_future(closing)

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
