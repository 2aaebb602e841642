"""The shared memory of one shard generation, and who may write where.

    0      magic u32 | version u32 | generation u32                      gateway, once
    128    started u64 | done u64 | started_ns u64                       shard
    256    count u32 | job u64 x 448: the jobs on the device now         shard
    4096   spans of request text                                        gateway

The memory has no name in any file system: it is gone when the last of the two processes is, whatever
killed them. Spans are allocated by the gateway alone, in its own private memory, so nothing a shard
writes can corrupt the allocator. Sealing keeps a shard from shrinking the memory under the
gateway's feet (SIGBUS), and reserving the pages at once turns a full machine into a clean error at
start instead of a signal later.

The progress block is advisory: it is read for status and after a death, never to decide what is
safe to read. Safety comes from the control socket: bytes are complete before the packet that names
them is sent, and a span is used again only after its reply was received; the kernel orders both.
"""

import fcntl
import mmap
import os
import struct
import sys
import tempfile
from dataclasses import dataclass

from shards.wire.messages import WireError

ARENA_BYTES = 8 * 1024 * 1024
"""Size of an arena: four jobs of the largest size."""

_PAGE = 4096
_ALIGN = 64
_IDENTITY = struct.Struct("<III")
_MAGIC, _VERSION = 0x52474157, 1
_PROGRESS, _PROGRESS_AT = struct.Struct("<QQQ"), 128
_RECORDER_AT, _RECORDER_JOBS = 256, 448
_SEALS = 0x0001 | 0x0002 | 0x0004  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW


@dataclass(frozen=True, slots=True)
class Progress:
    """What the shard last wrote about itself.

    Attributes:
        started: batches begun; one more than `done` while a batch is on the device.
        done: batches finished.
        started_ns: when the last batch began, CLOCK_MONOTONIC.
        jobs: the jobs of the batch on the device.
    """

    started: int
    done: int
    started_ns: int
    jobs: tuple[int, ...]


class Arena:
    """One mapping of the shared memory. The gateway creates it, the shard attaches to it."""

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self._map = mmap.mmap(fd, size)
        self._view = memoryview(self._map)

    @classmethod
    def create(cls, generation: int, size: int = ARENA_BYTES) -> "Arena":
        """Return a new arena.

        Raises:
            OSError: the machine has no memory left for it.
        """
        fd = _memory_file()
        os.posix_fallocate(fd, 0, size)
        if sys.platform == "linux":
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        arena = cls(fd, size)
        _IDENTITY.pack_into(arena._map, 0, _MAGIC, _VERSION, generation)
        return arena

    @classmethod
    def attach(cls, fd: int, generation: int) -> "Arena":
        """Map an arena made by the gateway; it must be of the expected generation."""
        arena = cls(fd, os.fstat(fd).st_size)
        if _IDENTITY.unpack_from(arena._map, 0) != (_MAGIC, _VERSION, generation):
            raise WireError("this memory is not the arena of this generation")
        return arena

    def write(self, offset: int, data: bytes) -> None:
        self._view[offset : offset + len(data)] = data

    def read(self, offset: int, length: int) -> bytes:
        if offset < _PAGE or offset + length > self.size:
            raise WireError(f"span {offset}+{length} lies outside the arena of {self.size} bytes")
        return bytes(self._view[offset : offset + length])

    def batch_started(self, jobs: tuple[int, ...], now_ns: int) -> None:
        """Record what goes on the device, before it does."""
        jobs = jobs[:_RECORDER_JOBS]
        struct.pack_into(f"<I{len(jobs)}Q", self._map, _RECORDER_AT, len(jobs), *jobs)
        started, done, _ = _PROGRESS.unpack_from(self._map, _PROGRESS_AT)
        _PROGRESS.pack_into(self._map, _PROGRESS_AT, started + 1, done, now_ns)

    def batch_done(self) -> None:
        """Record that the device is free again."""
        started, _, started_ns = _PROGRESS.unpack_from(self._map, _PROGRESS_AT)
        _PROGRESS.pack_into(self._map, _PROGRESS_AT, started, started, started_ns)
        struct.pack_into("<I", self._map, _RECORDER_AT, 0)

    def progress(self) -> Progress:
        started, done, started_ns = _PROGRESS.unpack_from(self._map, _PROGRESS_AT)
        (count,) = struct.unpack_from("<I", self._map, _RECORDER_AT)
        jobs = struct.unpack_from(f"<{min(count, _RECORDER_JOBS)}Q", self._map, _RECORDER_AT + 4)
        return Progress(started, done, started_ns, jobs)

    def close(self) -> None:
        """Unmap and close; harmless the second time."""
        if self.fd >= 0:
            self._view.release()
            self._map.close()
            os.close(self.fd)
            self.fd = -1


class Spans:
    """Which bytes of an arena are in use: first fit, in offset order."""

    def __init__(self, size: int = ARENA_BYTES) -> None:
        self._size = size
        self._taken: list[tuple[int, int]] = []  # (start, end), sorted

    def take(self, length: int) -> int | None:
        """Return the offset of a free span, or `None` if there is no room now."""
        place, start = self._first_fit(length)
        if start is not None:
            self._taken.insert(place, (start, start + length))
        return start

    def fits(self, length: int) -> bool:
        return self._first_fit(length)[1] is not None

    def give(self, offset: int) -> None:
        """Give back the span that starts at `offset`."""
        self._taken = [span for span in self._taken if span[0] != offset]

    def _first_fit(self, length: int) -> tuple[int, int | None]:
        start = _PAGE
        for place, (taken_start, taken_end) in enumerate(self._taken):
            if start + length <= taken_start:
                return place, start
            start = -(-taken_end // _ALIGN) * _ALIGN
        return len(self._taken), start if start + length <= self._size else None


def _memory_file() -> int:
    """Return a descriptor of nameless memory (an unlinked file where there is no memfd)."""
    if sys.platform == "linux":
        return os.memfd_create("rerank-arena", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
