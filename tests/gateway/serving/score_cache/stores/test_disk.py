"""Scores on disk: they outlive processes, and no state of the file costs an answer or a score."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from gateway.serving.score_cache.stores.disk import DiskBackend
from gateway.serving.score_cache.stores.score_file import connect
from tests.gateway.serving.score_cache.stores.storing import (
    IDENTITY,
    OTHER,
    PATIENCE_SECONDS,
    keys,
    scores,
    storing,
    until,
    until_state,
    written,
)
from tests.system.test_full_disk import small_disk

MEGABYTES = 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "scores.db"


@contextmanager
def changed(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file)) as connection, connection:
        yield connection


async def test_scores_come_back_after_a_restart(file: Path) -> None:
    wanted = keys(1200)  # more than SQLite takes in one query
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, wanted)
        status = store.status()
        assert (status.entries, status.state, status.place) == (1200, "ok", str(file))
        assert status.bytes is not None and 1200 * 60 < status.bytes < 1200 * 1000
    assert [path.name for path in file.parent.iterdir()] == ["scores.db"]
    assert file.stat().st_mode & 0o777 == 0o600
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until(lambda: store.status().entries == 1200, store.status)
        found = (await store.read(IDENTITY, [*wanted, b"n" * 16])).found
        assert {key: kept.packed for key, kept in found.items()} == {
            key: kept.packed for key, kept in scores(wanted).items()
        }
        assert (store.status().found, store.status().missing) == (1200, 1)


async def test_two_gateways_share_a_file_and_forget_together(file: Path) -> None:
    async with (
        storing(DiskBackend(file, MEGABYTES)) as first,
        storing(DiskBackend(file, MEGABYTES)) as second,
    ):
        await written(first, keys(3))
        assert len((await second.read(IDENTITY, keys(3))).found) == 3
        forgotten: list[bytes] = []
        second.forgotten = forgotten.append
        first.forget(IDENTITY)
        assert (await first.read(IDENTITY, keys(3))).found == {}  # at once, before it is on disk
        await until(lambda: forgotten == [IDENTITY])
        assert (await second.read(IDENTITY, keys(3))).found == {}
        await written(second, keys(1))
        await until(lambda: first.status().waiting == 0)
        assert len((await first.read(IDENTITY, keys(3))).found) == 1
        with changed(file) as connection:  # the invalid ones are removed from the file
            count = "select count(*) from scores"
            await until(lambda: connection.execute(count).fetchone() == (1,))


async def test_scores_that_wait_are_forgotten_too(file: Path) -> None:
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, keys(1, 100), OTHER)
        store.write(IDENTITY, scores(keys(3)))
        store.forget(IDENTITY)
        await written(store, keys(1, 200))
        assert set((await store.read(IDENTITY, keys(300))).found) == set(keys(1, 200))
        assert set((await store.read(OTHER, keys(300))).found) == set(keys(1, 100))


_WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.serving.score_cache.stores.disk import DiskBackend
from tests.gateway.serving.score_cache.stores.storing import IDENTITY, keys, storing, written

async def main():
    async with storing(DiskBackend(Path(sys.argv[1]), 16)) as store:
        for start in range(int(sys.argv[2]), 10**9, 50):
            await written(store, keys(50, start))
            print(start, flush=True)

asyncio.run(main())
"""


async def test_a_killed_process_leaves_a_whole_file(file: Path) -> None:
    done = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(file), str(done)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(10):
            done = int(process.stdout.readline()) + 50
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        async with storing(DiskBackend(file, MEGABYTES)) as store:
            await until(lambda: store.status().entries is not None)
            found = (await store.read(IDENTITY, keys(done))).found
            assert set(found) == set(keys(done))
            assert all(kept.packed == key + b"score" for key, kept in found.items())
            assert store.status().damaged == 0


async def test_a_damaged_score_is_none(file: Path) -> None:
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, keys(3))
    with changed(file) as connection:
        connection.execute("update scores set sealed = x'00' where key = ?", keys(1))
    content = bytearray(file.read_bytes())
    place = content.find(keys(1, 2)[0] + b"score")  # a flipped bit, which SQLite does not notice
    content[place + 3] ^= 1
    file.write_bytes(content)
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until(lambda: store.status().entries == 3)
        assert set((await store.read(IDENTITY, keys(3))).found) == set(keys(1, 1))
        assert (store.status().damaged, store.status().state) == (2, "ok")


@pytest.mark.parametrize("size", [4096, 5000, 12288])
async def test_a_damaged_file_is_moved_aside(file: Path, size: int) -> None:
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, keys(500))
    os.truncate(file, size)
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until(lambda: store.status().entries == 0, store.status)
        await until_state(store, "ok")
        await written(store, keys(3))
        assert len((await store.read(IDENTITY, keys(3))).found) == 3
    assert file.with_name("scores.db.damaged").stat().st_size >= size


async def test_a_damaged_page_under_a_running_store_is_no_wrong_score(file: Path) -> None:
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, keys(5000))
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until(lambda: store.status().entries == 5000)
        size = file.stat().st_size
        with file.open("r+b") as stream:
            stream.seek(3 * 4096)
            stream.write(os.urandom(size - 3 * 4096))
        for start in range(0, 5000, 500):
            found = (await store.read(IDENTITY, keys(500, start))).found
            assert all(kept.packed == key + b"score" for key, kept in found.items())
        await until(file.with_name("scores.db.damaged").exists, store.status)
        await until_state(store, "ok")
        await written(store, keys(3))


@pytest.mark.parametrize("content", [b"a letter", b"SQLite format 3\0" + bytes(200), None])
async def test_the_file_of_another_program_is_left_alone(file: Path, content: bytes | None) -> None:
    if content is None:
        with changed(file) as connection:
            connection.execute("create table mail(text)")
        content = file.read_bytes()
    else:
        file.write_bytes(content)
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until_state(store, "degraded")
        assert "not a file of scores" in store.status().reason
        store.write(IDENTITY, scores(keys(2)))
        assert (await store.read(IDENTITY, keys(2))).found == {}
        assert (store.status().dropped, store.status().unread) == (2, 2)
    assert file.read_bytes() == content
    assert list(file.parent.iterdir()) == [file]


async def test_a_locked_file_heals(file: Path) -> None:
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, keys(1))
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("pragma locking_mode = exclusive")
    other.execute("begin immediate")
    other.execute("delete from epochs where model = 99")
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until_state(store, "degraded")
        assert "locked" in store.status().reason
        other.execute("commit")
        other.close()
        await until_state(store, "ok")
        assert len((await store.read(IDENTITY, keys(1))).found) == 1


async def test_no_place_for_the_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "scores.db"
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await until_state(store, "degraded")
        assert "No such file" in store.status().reason
        file.parent.mkdir()
        await until_state(store, "ok")
        await written(store, keys(1))
        file.unlink()  # under a running store: a new file is made
        await until(lambda: store.status().entries == 0, store.status)
        await written(store, keys(2))
        assert len((await store.read(IDENTITY, keys(2))).found) == 2


async def test_a_full_and_a_read_only_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        async with storing(DiskBackend(disk / "scores.db", MEGABYTES)) as store:
            await written(store, keys(10))
            (disk / "full").write_bytes(bytes(600_000))
            start = 1000
            while store.status().state == "ok":
                store.write(IDENTITY, scores(keys(500, start)))
                await until(lambda: store.status().waiting == 0)
                start += 500
            assert "full" in store.status().reason
            assert len((await store.read(IDENTITY, keys(10))).found) == 10
            assert store.status().dropped > 0
            (disk / "full").unlink()
            while store.status().state != "ok":
                store.write(IDENTITY, scores(keys(10, 100)))
                await until(lambda: store.status().waiting == 0)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        async with storing(DiskBackend(disk / "scores.db", MEGABYTES)) as store:
            await until_state(store, "degraded")
            assert "unable to open" in store.status().reason


async def test_old_scores_are_not_valid_and_make_room(file: Path) -> None:
    now = time.time()
    async with storing(DiskBackend(file, MEGABYTES), clock=lambda: now) as store:
        await written(store, keys(3))
        now += 3599
        assert len((await store.read(IDENTITY, keys(3))).found) == 3
        now += 2
        assert (await store.read(IDENTITY, keys(3))).found == {}
        assert store.status().missing == 3


async def test_five_reads_without_an_answer_open_the_breaker(file: Path) -> None:
    async with storing(
        DiskBackend(file, MEGABYTES), read_seconds=0.0, tick_seconds=3600.0
    ) as store:
        await written(store, keys(1))
        for _ in range(5):
            assert store.status().state == "ok"
            assert (await store.read(IDENTITY, keys(1))).found == {}
        status = store.status()
        assert (status.state, status.opened, status.unread) == ("degraded", 1, 5)
        assert "no answer within 0 ms" in status.reason
        store.write(IDENTITY, scores(keys(2)))
        assert store.status().dropped == 2


async def test_a_late_read_goes_on_and_is_no_failure(file: Path) -> None:
    async with storing(
        DiskBackend(file, MEGABYTES), read_seconds=0.0, answer_seconds=PATIENCE_SECONDS
    ) as store:
        await written(store, keys(3))
        for _ in range(6):
            found, late = await store.read(IDENTITY, keys(4))
            assert late is not None
            assert (dict(found), set(await late)) == ({}, set(keys(3)))
        status = store.status()
        assert (status.state, status.found, status.missing) == ("ok", 18, 6)


async def test_what_waits_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.serving.score_cache.stores.score_store.MOST_WAITING", 10)
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        store.write(IDENTITY, scores(keys(25)))
        assert (store.status().waiting, store.status().dropped) == (10, 15)
        await until(lambda: store.status().written == 10)


async def test_a_client_that_leaves_during_a_read_disturbs_nothing(file: Path) -> None:
    async with storing(DiskBackend(file, MEGABYTES)) as store:
        await written(store, keys(1))
        reads = [asyncio.create_task(store.read(IDENTITY, keys(1))) for _ in range(3)]
        await asyncio.sleep(0)
        reads[0].cancel()
        assert [len(read.found) for read in await asyncio.gather(*reads[1:])] == [1, 1]
        assert store.status().state == "ok"


def test_a_file_that_is_moved_aside_meanwhile_never_becomes_a_foreign_one(file: Path) -> None:
    """An opening that made the file anew would make one without the mark of a file of scores."""
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            with suppress(FileNotFoundError):
                file.replace(file.with_name("moved"))

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for _ in range(200):
            with suppress(sqlite3.OperationalError, FileNotFoundError):
                connect(file).close()
    finally:
        ended.set()
        mover.join()
    connect(file).close()
