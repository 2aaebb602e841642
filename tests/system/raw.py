"""Raw sockets to a gateway: requests as bytes, replies as far as they come."""

import json
import re
import socket

from tests.system.running import Gateway

PATIENCE_SECONDS = 120.0
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")

OK = b'{"query": "q", "documents": ["a"]}'
LENGTH = b"Content-Length: %d" % len(OK)
CHUNKED = b"Transfer-Encoding: chunked"
OK_CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(OK), OK)

CODES = {
    400: "invalid_request",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
    431: "headers_too_large",
}


def port_of(gateway: Gateway) -> int:
    return int(gateway.url.rpartition(":")[2])


def connect(port: int, *, source: str = "127.0.0.1") -> socket.socket:
    """Connect from any loopback address."""
    address = ("127.0.0.1", port)
    return socket.create_connection(address, PATIENCE_SECONDS, source_address=(source, 0))


def post(*lines: bytes, body: bytes = b"", host: bytes = b"Host: localhost") -> bytes:
    head = [b"POST /v1/rerank HTTP/1.1", host, b"Content-Type: application/json", *lines]
    return b"\r\n".join(line for line in head if line) + b"\r\n\r\n" + body


def get(*lines: bytes, target: bytes = b"/livez", host: bytes = b"Host: localhost") -> bytes:
    head = [b"GET %b HTTP/1.1" % target, host, *lines]
    return b"\r\n".join(line for line in head if line) + b"\r\n\r\n"


def read_all(connection: socket.socket) -> bytes:
    """Return the bytes until the other side closes; fail if it never does."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_reply(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of one reply."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, stream.read(int(headers.get("content-length", "0")))


def assert_refused(received: bytes, status: int, code: str = "") -> None:
    """Assert one reply, the last of its connection, with an error of the gateway's form."""
    assert STATUS.findall(received) == [str(status).encode()]
    head, _, body = received.partition(b"\r\n\r\n")
    request_id = re.search(rb"x-request-id: (\S+)", head)
    error = json.loads(body)
    assert request_id is not None
    assert error["id"] == request_id[1].decode()
    assert error["message"]
    assert error["error"]["code"] == (code or CODES[status])
    assert b"connection: close" in head
