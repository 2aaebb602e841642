"""The shared memory of one shard generation, and who may write where.

    0      magic u32 | version u32 | generation u32                      gateway, once
    128    started u64 | done u64 | started_ns u64 | expected_ns u64     shard, scoring
    192    (encoded u64 | encoding u64) x 2: jobs done, and the one in   shard, an encoder
           work, of each encoder                                        each
    256    count u64 | job u64 x 448: what is on the device              shard, scoring
    4096   spans of request text                                        gateway

The memory has no name in any file system: it is gone when the last of the two processes is, whatever
killed them. Spans are allocated by the gateway alone, in its own private memory, so nothing a shard
writes can corrupt the allocator. Sealing keeps a shard from shrinking the memory under the
gateway's feet (SIGBUS), and reserving the pages at once turns a full machine into a clean error at
start instead of a signal later.

The progress blocks are advisory: they tell a hung shard from a slow one, and after a death which
jobs are suspects. They never decide what is safe to read. Safety comes from the control socket: bytes are complete before the packet that names
them is sent, and a span is used again only after its reply was received; the kernel orders both.
"""

import fcntl
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from shards.wire.codecs import WireError

ENCODER, LONG_TEXT_ENCODER = 0, 1
"""Who turns texts into pairs: most of them, and those of jobs that have much."""

ARENA_BYTES = 8 * 1024 * 1024
"""Size of an arena: four jobs of the largest size."""

_PAGE = 4096
_ALIGN = 64
_IDENTITY = struct.Struct("<III")
_MAGIC, _VERSION = 0x52474157, 2
_SCORING, _SCORING_AT = struct.Struct("<QQQQ"), 128
_ENCODING, _ENCODING_AT = struct.Struct("<QQ"), 192
_ENCODERS = 2
_RECORDER, _RECORDER_AT, _RECORDER_JOBS = struct.Struct("<Q"), 256, 448
_SEALS = 0x0001 | 0x0002 | 0x0004  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW


@dataclass(frozen=True, slots=True)
class Progress:
    """What the shard last wrote about itself.

    Attributes:
        started: batches, or steps of long ones, begun; one more than `done` while a batch is on the device.
        done: those finished.
        started_ns: when the last batch began, CLOCK_MONOTONIC.
        expected_ns: how long the shard itself expects that batch to take.
        encoded: jobs that each encoder has dealt with.
        encoding: the job that each of them deals with now, or 0.
        jobs: the jobs of the batch on the device.
    """

    started: int
    done: int
    started_ns: int
    expected_ns: int
    encoded: tuple[int, ...]
    encoding: tuple[int, ...]
    jobs: tuple[int, ...]

    @property
    def is_on_device(self) -> bool:
        return self.started != self.done


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
        try:
            os.posix_fallocate(fd, 0, size)
            if sys.platform == "linux":
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            arena = cls(fd, size)
        except OSError:
            os.close(fd)
            raise
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

    def batch_started(self, jobs: Sequence[int], *, now_ns: int, expected_ns: int) -> None:
        """Record what goes on the device, before it does."""
        jobs = jobs[:_RECORDER_JOBS]
        _RECORDER.pack_into(self._map, _RECORDER_AT, len(jobs))
        struct.pack_into(f"<{len(jobs)}Q", self._map, _RECORDER_AT + _RECORDER.size, *jobs)
        _, done, *_ = _SCORING.unpack_from(self._map, _SCORING_AT)
        _SCORING.pack_into(self._map, _SCORING_AT, done + 1, done, now_ns, expected_ns)

    def batch_moved(self) -> None:
        """Record that the batch on the device has come further: it counts as another one."""
        _, done, started_ns, expected_ns = _SCORING.unpack_from(self._map, _SCORING_AT)
        _SCORING.pack_into(self._map, _SCORING_AT, done + 2, done + 1, started_ns, expected_ns)

    def batch_done(self) -> None:
        """Record that the device is free again."""
        started, _, started_ns, expected_ns = _SCORING.unpack_from(self._map, _SCORING_AT)
        _SCORING.pack_into(self._map, _SCORING_AT, started, started, started_ns, expected_ns)
        _RECORDER.pack_into(self._map, _RECORDER_AT, 0)

    def encoding(self, job: int, encoder: int = ENCODER) -> None:
        """Record which job an encoder deals with; 0 when it is done with it."""
        at = _ENCODING_AT + encoder * _ENCODING.size
        encoded, _ = _ENCODING.unpack_from(self._map, at)
        _ENCODING.pack_into(self._map, at, encoded + (not job), job)

    def progress(self) -> Progress:
        started, done, started_ns, expected_ns = _SCORING.unpack_from(self._map, _SCORING_AT)
        encoders = [
            _ENCODING.unpack_from(self._map, _ENCODING_AT + encoder * _ENCODING.size)
            for encoder in range(_ENCODERS)
        ]
        encoded, encoding = zip(*encoders, strict=True)
        (count,) = _RECORDER.unpack_from(self._map, _RECORDER_AT)
        jobs = struct.unpack_from(
            f"<{min(count, _RECORDER_JOBS)}Q", self._map, _RECORDER_AT + _RECORDER.size
        )
        return Progress(started, done, started_ns, expected_ns, encoded, encoding, jobs)

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
