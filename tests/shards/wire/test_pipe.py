"""The two ends of a pipe, both in this process."""

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.wire.codecs import WireError
from shards.wire.messages import (
    MAX_JOB_BYTES,
    MAX_JOB_DOCUMENTS,
    Cancel,
    Failed,
    Score,
    Scores,
)
from shards.wire.pipe import GatewayEnd, PipeClosed, PipeFull, ShardEnd
from tests.pipes import shard_end


def _score(job: int, text: str) -> Score:
    return Score(job, 1, 0, "", ("query",), (text,))


@pytest.fixture
def ends() -> Iterator[tuple[GatewayEnd, ShardEnd]]:
    gateway = GatewayEnd(generation=3)
    shard = shard_end(gateway, generation=3)
    yield gateway, shard
    shard.close()
    gateway.close()


Ends = tuple[GatewayEnd, ShardEnd]


@pytest.mark.parametrize("length", [0, 1, 16 * 1024, 16 * 1024 + 1, MAX_JOB_BYTES])
def test_texts_of_any_length_arrive(ends: Ends, length: int) -> None:
    gateway, shard = ends
    sent = _score(1, "я" * (length // 2))
    gateway.send(sent)
    assert shard.receive() == sent


def test_the_largest_reply_fits_one_packet(ends: Ends) -> None:
    gateway, shard = ends
    count = MAX_JOB_DOCUMENTS
    reply = Scores(1, (0.5,) * count, (7,) * count, tuple(range(count)), 1, 2, 3)
    shard.send(reply)
    assert gateway.receive() == [reply]


def test_an_answer_frees_the_span_of_its_job(ends: Ends) -> None:
    gateway, shard = ends
    text = "x" * (MAX_JOB_BYTES - 100)
    for job in (1, 2, 3):
        gateway.send(_score(job, text))
    assert not gateway.fits(MAX_JOB_BYTES)
    with pytest.raises(PipeFull):
        gateway.send(_score(4, text))
    assert shard.receive() == _score(1, text)
    shard.send(Failed(1, "cancelled", ""))
    assert gateway.receive() == [Failed(1, "cancelled", "")]
    gateway.send(_score(4, text))


def test_a_shard_that_does_not_read_fills_the_socket_but_never_blocks_the_gateway(
    ends: Ends,
) -> None:
    gateway, _ = ends
    with pytest.raises(PipeFull):
        for job in range(1_000_000):
            gateway.send(Cancel(job))


def test_replies_written_before_a_death_are_still_received(ends: Ends) -> None:
    gateway, shard = ends
    shard.send(Failed(1, "engine_error", "boom"))
    shard.close()
    assert gateway.receive() == [Failed(1, "engine_error", "boom")]
    assert gateway.closed
    with pytest.raises(PipeClosed):
        gateway.send(Cancel(1))


def test_the_shard_notices_the_end_of_the_gateway(ends: Ends) -> None:
    gateway, shard = ends
    gateway.close()
    with pytest.raises(PipeClosed):
        shard.receive()
    with pytest.raises(PipeClosed):
        shard.send(Failed(1, "engine_error", ""))


def test_a_packet_of_another_generation_is_refused() -> None:
    gateway = GatewayEnd(generation=3)
    stranger = shard_end(gateway, generation=3)
    stranger._generation = 2
    stranger.send(Failed(1, "engine_error", ""))
    with pytest.raises(WireError, match="generation 2"):
        gateway.receive()
    stranger.close()
    gateway.close()


def test_a_damaged_span_is_noticed(ends: Ends) -> None:
    gateway, shard = ends
    gateway.send(_score(1, "x" * 100_000))
    shard.arena.write(4096 + 5000, b"y")
    with pytest.raises(WireError, match="checksum"):
        shard.receive()


@pytest.mark.parametrize("packet", [b"?", b"\x01" * 24, b"\x00" * 64])
def test_a_packet_that_is_no_frame_is_refused(ends: Ends, packet: bytes) -> None:
    gateway, shard = ends
    shard._socket.send(packet)
    with pytest.raises(WireError):
        gateway.receive()


def _descriptors() -> set[str]:
    """Return the open descriptors of this process, without that of the listing itself."""
    return {path.name for path in Path("/proc/self/fd").iterdir() if path.exists()}


def test_a_pipe_that_cannot_be_made_leaves_nothing_behind() -> None:
    """The limit allows a socket but no arena; then an arena too, but no memory map."""
    before = _descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, before))
    for room in (1, 2, 3):
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + room, hard))
        try:
            with contextlib.suppress(OSError):
                GatewayEnd(generation=1).close()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert _descriptors() == before


def test_memory_that_cannot_be_reserved_is_an_error_at_the_start() -> None:
    """A limit on the size of files stands in for a full machine: all pages are reserved."""
    limits, used = resource.getrlimit(resource.RLIMIT_FSIZE), _descriptors()
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, limits[1]))
        with pytest.raises(OSError, match="File too large"):
            GatewayEnd(generation=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert _descriptors() == used
