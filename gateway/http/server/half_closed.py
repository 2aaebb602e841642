"""Connections whose client has closed its side: has it gone, or does it wait for its reply?"""

import asyncio
import select
from typing import cast

FIRST_BYTE = b"H"
"""The first byte of every status line, `HTTP/1.1 ...`; sent ahead to find out."""


class AfterFirstByte(asyncio.Transport):
    """A transport for a reply whose first byte has been sent already."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._is_first = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_first:
            self._is_first = False
            data = data[len(FIRST_BYTE) :]
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()


def is_gone(transport: asyncio.Transport) -> bool:
    """Return whether the other side has reset the connection, or closed both ways of it."""
    if transport.is_closing():
        return True
    look = select.poll()
    look.register(cast(int, transport.get_extra_info("socket").fileno()), 0)
    return bool(look.poll(0))  # POLLERR and POLLHUP are always reported
