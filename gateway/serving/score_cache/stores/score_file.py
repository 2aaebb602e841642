"""A file of sealed scores: SQLite in WAL mode, bounded in bytes, the oldest scores removed first.

Several processes may use one file: SQLite locks it for each write. A process that is killed at any
time leaves a whole file. After a loss of power the last scores may be missing, but no renewal of an
epoch is. A file of another program is left alone; a damaged file of scores is moved aside.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gateway.serving.score_cache.stores.backend import Entry, StoreFailed, StoreFull

PAGE_BYTES = 4096
_WAL_BYTES = 8 << 20  # SQLite moves the log into the file when it has 4 MiB
_PRUNED_AT = 0.95
_REMOVED_AT_ONCE = 2000
_WIPED_AT_ONCE = 20_000
_FREED_AT_ONCE = 1000
_BUSY_SECONDS = 1.0
_APPLICATION = 0x52475343  # "RGSC" in the header of the file
_HEADER = b"SQLite format 3\0"
_APPLICATION_PLACE = 68
_SCHEMA = """
create table if not exists epochs(
    model integer primary key, identity blob not null unique, epoch blob not null);
create table if not exists scores(
    id integer primary key, key blob not null unique, model integer not null,
    expires integer not null, sealed blob not null);
"""
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error reports a damaged file."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def store_error(error: sqlite3.Error | OSError) -> StoreFailed:
    """Return the error of a store for one of its file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return (StoreFull if code == sqlite3.SQLITE_FULL else StoreFailed)(str(error))


def connect(path: Path) -> sqlite3.Connection:
    """Open an existing or a new file of scores, for the thread that calls.

    Raises:
        StoreFailed: it is a file of another program.
        sqlite3.Error: it cannot be used.
        OSError: it cannot be opened.
    """
    _refuse_foreign(path)
    if not path.exists():
        _make(path)
    # Not made here: a file that was moved aside just now would come back as a foreign one.
    existing = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(existing, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Make an empty file of scores, in one step: another process may open it at any time."""
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600))
    try:
        connection = sqlite3.connect(new, isolation_level=None)
        try:
            connection.execute("pragma auto_vacuum = incremental")
            # Before the log is in use: it must be in the file itself when the process is killed.
            connection.execute(f"pragma application_id = {_APPLICATION}")
        finally:
            connection.close()
        with _locked(path.parent):
            if not path.exists():
                _remove_log(path)
                os.link(new, path)
    finally:
        new.unlink()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_log(path: Path) -> None:
    """Remove the log of a file that is gone; SQLite would bring it into another of that name."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _refuse_foreign(path: Path) -> None:
    if not path.exists():
        return
    with path.open("rb") as file:
        head = file.read(_APPLICATION_PLACE + 4)
    if head[: len(_HEADER)] != _HEADER or head[_APPLICATION_PLACE:] != _APPLICATION.to_bytes(4):
        raise StoreFailed("it is not a file of scores, and is left alone")


def move_damaged(path: Path) -> bool:
    """Move a file of scores aside if it is damaged; return whether it was."""
    with contextlib.suppress(sqlite3.Error):
        connection = connect(path)
        try:
            if connection.execute("pragma quick_check(1)").fetchone() == ("ok",):
                return False
        finally:
            connection.close()
    path.replace(path.with_name(path.name + ".damaged"))
    return True


def read(
    connection: sqlite3.Connection, identity: bytes, keys: Sequence[bytes]
) -> tuple[bytes | None, Mapping[bytes, bytes]]:
    """Return the epoch of a model and the scores of these keys, as of one moment."""
    connection.execute("begin")
    try:
        row = connection.execute("select epoch from epochs where identity = ?", (identity,))
        epoch = row.fetchone()
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), 500):  # SQLite takes a limited number of parameters
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            query = f"select key, sealed from scores where key in ({marks})"
            found |= dict(connection.execute(query, part).fetchall())
    finally:
        connection.execute("rollback")
    return (bytes(epoch[0]) if epoch else None), found


class ScoreFile:
    """The writing side of a file of scores; one thread uses it.

    Args:
        path: the file.
        megabytes: the bound on its size, in MiB.

    Attributes:
        entries: the number of scores, without writes of other processes since it was opened.
        inode: that of the open file.
    """

    def __init__(self, path: Path, megabytes: int) -> None:
        self._path = path
        self._max_pages = (megabytes * 1024**2 - _WAL_BYTES) // PAGE_BYTES
        self._connection = connect(path)
        self._connection.execute(f"pragma max_page_count = {self._max_pages}")
        # By the number of a model: the last score that is wiped, and the last one to be wiped.
        self._wiping: dict[int, tuple[int, int]] = {}
        self.entries: int = self._one("select count(*) from scores")
        self.inode = path.stat().st_ino

    def _one(self, query: str, *values: object) -> int:
        return int(self._connection.execute(query, values).fetchone()[0])

    @property
    def size(self) -> int:
        """The size of the file and of its log."""
        files = [self._path, self._path.with_name(self._path.name + "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def epoch(self, identity: bytes, new: bytes) -> bytes:
        """Return the epoch of a model; it becomes `new` if the model has none."""
        row = self._connection.execute("select epoch from epochs where identity = ?", (identity,))
        if (found := row.fetchone()) is not None:
            return bytes(found[0])
        self._connection.execute(
            "insert or ignore into epochs(identity, epoch) values(?, ?)", (identity, new)
        )
        return self.epoch(identity, new)

    def renew(self, identity: bytes, new: bytes) -> None:
        """Give a model another epoch; its scores are removed in the steps of `tidy`."""
        self._connection.execute("pragma synchronous = full")  # it must survive a loss of power
        try:
            with self._transaction():
                self._connection.execute(
                    "insert into epochs(identity, epoch) values(?, ?) "
                    "on conflict(identity) do update set epoch = excluded.epoch",
                    (identity, new),
                )
                last = self._one("select coalesce(max(id), 0) from scores")
        finally:
            self._connection.execute("pragma synchronous = normal")
        self._wiping[self._model(identity)] = (0, last)

    def _model(self, identity: bytes) -> int:
        return self._one("select model from epochs where identity = ?", identity)

    def write(self, entries: Sequence[Entry], now: float) -> None:
        """Keep scores, in one transaction; the oldest make room for them."""
        models = {identity: self._model(identity) for identity in {e.identity for e in entries}}
        rows = [
            (entry.key, models[entry.identity], int(now + entry.seconds), entry.sealed)
            for entry in entries
        ]
        with self._transaction():
            self._prune(now)
            before = self._connection.total_changes
            keys = [(entry.key,) for entry in entries]
            self._connection.executemany("delete from scores where key = ?", keys)
            replaced = self._connection.total_changes - before
            self._connection.executemany(
                "insert or replace into scores(key, model, expires, sealed) values(?, ?, ?, ?)",
                rows,
            )
        self.entries += len({entry.key for entry in entries}) - replaced

    def _prune(self, now: float) -> None:
        """Remove old scores: those past their life, and the oldest of a file that is full."""
        oldest = f"select id from scores order by id limit {_REMOVED_AT_ONCE}"
        self._remove(f"delete from scores where id in ({oldest}) and expires <= ?", now)
        if self._used_pages() > _PRUNED_AT * self._max_pages:
            self._remove(f"delete from scores where id in ({oldest})")

    def _remove(self, query: str, *values: object) -> None:
        self.entries -= self._connection.execute(query, values).rowcount

    def _used_pages(self) -> int:
        return self._one("pragma page_count") - self._one("pragma freelist_count")

    def tidy(self) -> None:
        """Remove some scores of epochs that have ended, and give unused pages back."""
        for model, (start, last) in list(self._wiping.items()):
            end = min(start + _WIPED_AT_ONCE, last)
            self._remove(
                "delete from scores where model = ? and id > ? and id <= ?", model, start, end
            )
            if end == last:
                del self._wiping[model]
            else:
                self._wiping[model] = (end, last)
        if self._one("pragma page_count") > self._max_pages:
            # `execute` would take one step of it, and each step frees a page.
            self._connection.executescript(f"pragma incremental_vacuum({_FREED_AT_ONCE})")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("rollback")
            raise

    def close(self) -> None:
        """Close the file; SQLite moves its log into it."""
        self._connection.close()
