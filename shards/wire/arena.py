"""The shared memory of one shard generation.

    offset  fields                                            written by
          +----------------------------------------------+
       0  | magic u32 | version u32 | generation u32     |    gateway, once
          +----------------------------------------------+
     128  | started u64 | done u64                       |    shard, main thread
          | started_ns u64 | expected_ns u64             |
          +----------------------------------------------+
     192  | tokenized u64 | tokenizing u64               |    shard, intake thread
     208  | tokenized u64 | tokenizing u64               |    shard, thread of long texts
          +----------------------------------------------+
     256  | count u64 | job u64 x 448: on the device     |    shard, main thread
          +----------------------------------------------+
    4096  | spans: texts of jobs, 64-byte aligned        |    gateway
          | ...                                          |
          +----------------------------------------------+

States of the device, in the order of the writes:

    1 idle     started == done, count == 0
    2 named    the jobs of the next batch are written, started == done
    3 running  started == done + 1, with the time of the start and the expected duration
    4 running  a step or a batch in flight ended: both counts rise by one, started == done + 1
    1 idle     started == done, then count == 0

The jobs are written before the batch counts as started, and removed after it counts as done. So
whatever the state in which the process ends, the jobs on the device are named, at worst with some
that have just left it. (A death amid the writes of state 2 may name the batch before.)

States of a tokenizer: `tokenizing` is its job, or 0 between two jobs; `tokenized` counts the jobs
that it has left.

The gateway alone allocates spans, in its own private memory, so nothing that a shard writes can
corrupt the allocator. A span goes through three states:

    1 free     only the allocator touches it
    2 written  the gateway writes the text, and after that sends the packet that names the span
    3 read     the shard copies the text out of it; the gateway frees it when it has the reply

No reader sees a half-written text: the kernel orders the write before the packet, the packet before
the read, the reply before the next write.

The blocks before the spans are advisory: they distinguish a hung shard from a slow one and, after a
death, name the suspected jobs. They never decide what is safe to read, so a torn read of them does
no harm.

The memory has no name in any file system: it is gone when both processes are, however they ended.
Sealing keeps a shard from shrinking the memory under the gateway's feet (SIGBUS). Reserving the
pages at once turns a full machine into a clean error at the start instead of a signal later.
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

TOKENIZER, LONG_TEXT_TOKENIZER = 0, 1
"""The tokenizing threads of a shard: one for most jobs, one for those with much text."""

ARENA_BYTES = 8 * 1024 * 1024
"""The size of an arena: four jobs of the largest size."""

_PAGE = 4096
_ALIGN = 64
_IDENTITY = struct.Struct("<III")
_MAGIC, _VERSION = 0x52474157, 2
_DEVICE, _DEVICE_AT = struct.Struct("<QQQQ"), 128
_TOKENIZING, _TOKENIZING_AT = struct.Struct("<QQ"), 192
_TOKENIZERS = 2
_JOBS_COUNT, _JOBS_AT, _MOST_JOBS = struct.Struct("<Q"), 256, 448
_SEALS = 0x0001 | 0x0002 | 0x0004  # F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW


@dataclass(frozen=True, slots=True)
class Progress:
    """The last record of a shard about itself.

    Attributes:
        started: batches, or steps of long ones, begun; `done + 1` while a batch is on the device.
        done: those finished.
        started_ns: when the last batch began, CLOCK_MONOTONIC.
        expected_ns: the shard's own estimate of that batch's time.
        tokenized: jobs that each tokenizer has left.
        tokenizing: the job in each tokenizer, or 0.
        jobs: the jobs of the batch on the device.
    """

    started: int
    done: int
    started_ns: int
    expected_ns: int
    tokenized: tuple[int, ...]
    tokenizing: tuple[int, ...]
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
        """Record the jobs of a batch, before it goes on the device."""
        jobs = jobs[:_MOST_JOBS]
        _JOBS_COUNT.pack_into(self._map, _JOBS_AT, len(jobs))
        struct.pack_into(f"<{len(jobs)}Q", self._map, _JOBS_AT + _JOBS_COUNT.size, *jobs)
        _, done, *_ = _DEVICE.unpack_from(self._map, _DEVICE_AT)
        _DEVICE.pack_into(self._map, _DEVICE_AT, done + 1, done, now_ns, expected_ns)

    def batch_advanced(self) -> None:
        """Record progress within the batch on the device: it counts as another one."""
        _, done, started_ns, expected_ns = _DEVICE.unpack_from(self._map, _DEVICE_AT)
        _DEVICE.pack_into(self._map, _DEVICE_AT, done + 2, done + 1, started_ns, expected_ns)

    def batch_done(self) -> None:
        """Record that the device is free again."""
        started, _, started_ns, expected_ns = _DEVICE.unpack_from(self._map, _DEVICE_AT)
        _DEVICE.pack_into(self._map, _DEVICE_AT, started, started, started_ns, expected_ns)
        _JOBS_COUNT.pack_into(self._map, _JOBS_AT, 0)

    def tokenizing(self, job: int, tokenizer: int = TOKENIZER) -> None:
        """Record the job that a tokenizer works on; 0 when it has left the job."""
        at = _TOKENIZING_AT + tokenizer * _TOKENIZING.size
        tokenized, _ = _TOKENIZING.unpack_from(self._map, at)
        _TOKENIZING.pack_into(self._map, at, tokenized + (not job), job)

    def progress(self) -> Progress:
        started, done, started_ns, expected_ns = _DEVICE.unpack_from(self._map, _DEVICE_AT)
        tokenizers = [
            _TOKENIZING.unpack_from(self._map, _TOKENIZING_AT + tokenizer * _TOKENIZING.size)
            for tokenizer in range(_TOKENIZERS)
        ]
        tokenized, tokenizing = zip(*tokenizers, strict=True)
        (count,) = _JOBS_COUNT.unpack_from(self._map, _JOBS_AT)
        jobs = struct.unpack_from(
            f"<{min(count, _MOST_JOBS)}Q", self._map, _JOBS_AT + _JOBS_COUNT.size
        )
        return Progress(started, done, started_ns, expected_ns, tokenized, tokenizing, jobs)

    def close(self) -> None:
        """Unmap and close; harmless the second time."""
        if self.fd >= 0:
            self._view.release()
            self._map.close()
            os.close(self.fd)
            self.fd = -1


class Spans:
    """The allocator of spans: first fit, in offset order."""

    def __init__(self, size: int = ARENA_BYTES) -> None:
        self._size = size
        self._taken: list[tuple[int, int]] = []  # (start, end), sorted

    def take(self, length: int) -> int | None:
        """Allocate a span and return its offset; `None` if there is no room now."""
        place, start = self._first_fit(length)
        if start is not None:
            self._taken.insert(place, (start, start + length))
        return start

    def fits(self, length: int) -> bool:
        return self._first_fit(length)[1] is not None

    def free(self, offset: int) -> None:
        """Free the span that starts at `offset`."""
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
