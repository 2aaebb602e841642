"""The two ends of a pipe: an arena, and a control socket that carries one frame a packet.

    version u8 | where u8 | reserved u16 | generation u32 | length u32 | crc32 u32 | offset u64
    followed by the message itself if `where` is INLINE; else it lies in the arena at `offset`

The socket keeps packets whole and in order and reports the end of the peer. Large texts go through
the arena, everything else inline. Only the gateway sends large messages: a reply is at most
`MAX_JOB_DOCUMENTS` scores long and always fits a packet; vectors come ahead of it, in packets of
their own. The gateway never blocks; the shard does.
"""

import socket
import struct
import sys
import threading
import zlib

from shards.wire.arena import ARENA_BYTES, Arena, Progress, Spans
from shards.wire.codecs import WireError
from shards.wire.messages import Failed, Message, Score, Scores, decode, encode

_HEADER = struct.Struct("<BBHIIIQ")
_VERSION = 1
_INLINE, _SPAN = 0, 1
_INLINE_BYTES = 16 * 1024
_PACKET_BYTES = 64 * 1024
_SEND_BUFFER_BYTES = 1024 * 1024
_SOCKET_KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM


class PipeClosed(Exception):
    """The other end is gone."""


class PipeFull(Exception):
    """There is no room now; try again after a reply."""


class GatewayEnd:
    """The gateway's end. Allocates the spans; never blocks."""

    def __init__(self, generation: int, arena_bytes: int = ARENA_BYTES) -> None:
        self._generation = generation
        self._socket, self._shard_socket = socket.socketpair(socket.AF_UNIX, _SOCKET_KIND)
        try:
            self._arena = Arena.create(generation, arena_bytes)
        except OSError:
            self._socket.close()
            self._shard_socket.close()
            raise
        self._spans = Spans(arena_bytes)
        self._span_of_job: dict[int, int] = {}
        for end in (self._socket, self._shard_socket):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        self._socket.setblocking(False)
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def shard_descriptors(self) -> tuple[int, int]:
        """The socket and the arena to pass to the shard, before `handed_over`."""
        return self._shard_socket.fileno(), self._arena.fd

    def handed_over(self) -> None:
        """Close our copy of the shard's end, so that its death ends the stream."""
        self._shard_socket.close()

    def fits(self, length: int) -> bool:
        """Return whether there is room for a message of so many bytes in the arena now."""
        return length <= _INLINE_BYTES or self._spans.fits(length)

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            PipeFull: no room in the arena or in the socket.
            PipeClosed: the shard is gone.
        """
        body = encode(message)
        if len(body) <= _INLINE_BYTES:
            self._send(_INLINE, 0, body, body)
            return
        assert isinstance(message, Score), "only jobs are large"
        offset = self._spans.take(len(body))
        if offset is None:
            raise PipeFull
        self._arena.write(offset, body)
        try:
            self._send(_SPAN, offset, body, b"")
        except (PipeFull, PipeClosed):
            self._spans.free(offset)
            raise
        self._span_of_job[message.job] = offset

    def _send(self, where: int, offset: int, body: bytes, inline: bytes) -> None:
        header = _header(self._generation, where, offset, body)
        try:
            self._socket.sendmsg([header, inline])
        except BlockingIOError:
            raise PipeFull from None
        except OSError:
            raise PipeClosed from None

    def receive(self, most: int | None = None) -> list[Message]:
        """Return the received messages; `closed` turns true at the end of the stream.

        Args:
            most: the most messages; the others stay for the next call. `None` for all.

        Raises:
            WireError: the shard sent bytes that are no message.
        """
        messages: list[Message] = []
        while not self.closed and (most is None or len(messages) < most):
            try:
                packet = self._socket.recv(_PACKET_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                packet = b""
            if packet:
                messages.append(self._open(packet))
            else:
                self.closed = True
        return messages

    def _open(self, packet: bytes) -> Message:
        message = decode(_body(packet, self._generation, None))
        if isinstance(message, Scores | Failed):
            offset = self._span_of_job.pop(message.job, None)
            if offset is not None:
                self._spans.free(offset)
        return message

    def progress(self) -> Progress:
        return self._arena.progress()

    def close(self) -> None:
        self.closed = True
        self._socket.close()
        self._shard_socket.close()
        self._arena.close()


class ShardEnd:
    """The shard's end. Blocks; `send` may be called from several threads."""

    def __init__(self, socket_fd: int, arena_fd: int, generation: int) -> None:
        self._generation = generation
        self._socket = socket.socket(fileno=socket_fd)
        self._socket.setblocking(True)
        self.arena = Arena.attach(arena_fd, generation)
        self._sending = threading.Lock()

    def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            PipeClosed: the gateway is gone.
        """
        try:
            packet = self._socket.recv(_PACKET_BYTES)
        except ConnectionResetError:
            packet = b""
        if not packet:
            raise PipeClosed
        return decode(_body(packet, self._generation, self.arena))

    def send(self, message: Message) -> None:
        """Send a message, waiting for room.

        Raises:
            PipeClosed: the gateway is gone.
        """
        body = encode(message)
        with self._sending:
            try:
                self._socket.sendmsg([_header(self._generation, _INLINE, 0, body), body])
            except (BrokenPipeError, ConnectionResetError):
                raise PipeClosed from None

    def close(self) -> None:
        self._socket.close()
        self.arena.close()


def _header(generation: int, where: int, offset: int, body: bytes) -> bytes:
    return _HEADER.pack(_VERSION, where, 0, generation, len(body), zlib.crc32(body), offset)


def _body(packet: bytes, generation: int, arena: Arena | None) -> bytes:
    """Return the checked bytes of the message that a packet carries or names."""
    if len(packet) < _HEADER.size:
        raise WireError(f"a packet of {len(packet)} bytes has no header")
    version, where, _, sender, length, crc, offset = _HEADER.unpack_from(packet)
    if (version, sender) != (_VERSION, generation):
        raise WireError(f"version {version}, generation {sender}: not from this peer")
    if where == _SPAN and arena is not None:
        body = arena.read(offset, length)
    else:
        body = packet[_HEADER.size :]
    if len(body) != length or zlib.crc32(body) != crc:
        raise WireError("the message is not the one that was sent (length or checksum differ)")
    return body
