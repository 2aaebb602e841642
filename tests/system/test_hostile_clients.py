"""Hostile clients of a real gateway over raw sockets: malformed, ambiguous, endless requests."""

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import psutil
import pytest
import pytest_asyncio

from tests.system.raw import (
    CHUNKED,
    LENGTH,
    OK,
    OK_CHUNKED,
    STATUS,
    assert_refused,
    connect,
    get,
    port_of,
    post,
    read_all,
    read_reply,
)
from tests.system.running import Gateway, running

CONFIG = """
[limits]
body_bytes = 65536
document_bytes = 30000
query_bytes = 1000
[models.fake]
source = "fake"
engine = "fake"
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """The gateway that all tests of this module attack."""
    async with running(CONFIG, tmp_path_factory.mktemp("gateway")) as gateway:
        await gateway.until_ready()
        yield gateway


@pytest.fixture(scope="module")
def port(gateway: Gateway) -> int:
    return port_of(gateway)


# -- framing: a proxy and the gateway must not see different requests -----------------------------

SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

REFUSED: dict[str, bytes] = {
    "length and chunked": post(b"Content-Length: 4", CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    "chunked and length": post(CHUNKED, b"Content-Length: 4", body=b"0\r\n\r\n" + SMUGGLED),
    "two lengths": post(b"Content-Length: 4", b"Content-Length: 5", body=b"abcd" + SMUGGLED),
    "two equal lengths": post(LENGTH, LENGTH, body=OK + SMUGGLED),
    "list of lengths": post(b"Content-Length: 4, 4", body=b"abcd" + SMUGGLED),
    "signed length": post(b"Content-Length: +4", body=b"abcd" + SMUGGLED),
    "negative length": post(b"Content-Length: -4", body=b"abcd" + SMUGGLED),
    "hexadecimal length": post(b"Content-Length: 0x4", body=b"abcd" + SMUGGLED),
    "spaced length": post(b"Content-Length: 4 4", body=b"abcd" + SMUGGLED),
    "empty length": post(b"Content-Length:", body=SMUGGLED),
    "endless length": post(b"Content-Length: " + b"9" * 30, body=SMUGGLED),
    "unknown coding": post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + SMUGGLED),
    "coding after chunked": post(
        b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "coding before chunked": post(
        b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "identity": post(b"Transfer-Encoding: identity", body=SMUGGLED),
    "two codings": post(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n" + SMUGGLED),
    "twice chunked": post(CHUNKED, CHUNKED, body=b"0\r\n\r\n" + SMUGGLED),
    "hidden coding": post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n" + SMUGGLED),
    "space before colon": post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n" + SMUGGLED),
    "space in name": post(b"Transfer Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    "chunked in HTTP/1.0": (
        b"POST /v1/rerank HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        + OK_CHUNKED
    ),
    "folded line": post(b"X: a\r\n b", LENGTH, body=OK + SMUGGLED),
    "line feeds only": b"POST /v1/rerank HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n",
    "line feed in the middle": post(b"X: a\nContent-Length: 0", LENGTH, body=OK),
    "carriage return in value": get(b"X: a\rb"),
    "zero byte in value": get(b"X: a\0b"),
    "zero byte in name": get(b"X\0: a"),
    "header without colon": get(b"nonsense"),
    "header without name": get(b": nonsense"),
    "chunk with a bad end": post(CHUNKED, body=b"3\r\nabcXX0\r\n\r\n" + SMUGGLED),
    "chunk with line feeds": post(CHUNKED, body=b"3\nabc\n0\n\n" + SMUGGLED),
    "chunk without end": post(CHUNKED, body=b"ffffffffffffffffff\r\nabc" + SMUGGLED),
    "chunk of negative size": post(CHUNKED, body=b"-1\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
    "chunk with hexadecimal prefix": post(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
    "no host": get(host=b""),
    "two hosts": get(b"Host: localhost"),
    "two different hosts": get(b"Host: example.com"),
    "empty host": get(host=b"Host:"),
    "host of another": get(host=b"Host: attacker.example"),
    "host that only ends in ours": get(host=b"Host: evil-localhost"),
    "host with a user": get(host=b"Host: localhost@attacker.example"),
    "host with a path": get(host=b"Host: localhost/attacker"),
    "long form for another host": get(target=b"http://attacker.example/livez"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/1.2": b"GET /livez HTTP/1.2\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "another protocol": b"EHLO localhost\r\n",
    "no method": b" /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "target without slash": get(target=b"livez"),
    "a tunnel": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "a letter in the target": get(target="/й".encode()),
}
"""Each is answered once, with 400, and the connection is closed."""


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED)
def test_ambiguous_requests_are_refused(port: int, sent: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(sent)
        assert_refused(read_all(connection), 400)


HEADS = {
    "one long value": get(b"X: " + b"a" * 200_000),
    "one endless value": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 5_000_000,
    "long target": get(target=b"/" + b"a" * 200_000),
    "many headers": get(*(b"X-%d: v" % number for number in range(5000))),
    "101 headers": get(*(b"X-%d: v" % number for number in range(100))),
    "empty lines for ever": b"\r\n" * 100_000,
    "endless trailer": post(CHUNKED, body=OK_CHUNKED[:-2] + b"X: " + b"a" * 5_000_000),
    "many trailers": post(CHUNKED, body=OK_CHUNKED[:-2] + b"X: a\r\n" * 1_000_000),
    "long chunk extension": post(CHUNKED, body=b"1;" + b"a" * 5_000_000),
}


@pytest.mark.parametrize("sent", HEADS.values(), ids=HEADS)
def test_heads_are_bounded(port: int, sent: bytes) -> None:
    """The refusal arrives although the client has not stopped sending."""
    with connect(port) as connection:
        connection.sendall(sent)
        assert_refused(read_all(connection), 431)


@dataclass
class Probe:
    """A request that must be answered; another one may follow on the same connection."""

    sent: bytes
    status: int


ANSWERED = {
    "length": Probe(post(LENGTH, body=OK), 200),
    "chunked": Probe(post(CHUNKED, body=OK_CHUNKED), 200),
    "chunk extension": Probe(
        post(CHUNKED, body=b'%x;a="b"\r\n%b\r\n0\r\n\r\n' % (len(OK), OK)), 200
    ),
    "trailers": Probe(
        post(CHUNKED, body=OK_CHUNKED[:-2] + b"X-Request-Timeout-Ms: 0\r\n\r\n"), 200
    ),
    "100 headers": Probe(get(*(b"X-%d: v" % number for number in range(99))), 200),
    "empty line before": Probe(b"\r\n" + get(), 200),
    "empty line after": Probe(post(LENGTH, body=OK) + b"\r\n", 200),
    "long form": Probe(get(target=b"http://localhost/livez"), 200),
    "other names of this machine": Probe(get(host=b"Host: [::1]:80"), 200),
    "capital letters": Probe(get(host=b"hOsT: LOCALHOST:1"), 200),
    "upgrade offered (Java)": Probe(
        post(
            b"Connection: Upgrade, HTTP2-Settings",
            b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk",
            b"Upgrade: h2c",
            LENGTH,
            body=OK,
        ),
        200,
    ),
    "websocket offered": Probe(get(b"Connection: Upgrade", b"Upgrade: websocket"), 200),
    "unknown expectation": Probe(post(b"Expect: 200-ok", LENGTH, body=OK), 200),
    "zero byte in path": Probe(get(target=b"/livez%00"), 404),
    "way up": Probe(get(target=b"/v1/../../etc/passwd"), 404),
    "coded way up": Probe(get(target=b"/v1/models/..%2f..%2fetc%2fpasswd"), 404),
    "two slashes": Probe(get(target=b"//livez"), 200),
    "other case": Probe(get(target=b"/LIVEZ"), 404),
    "slash at the end": Probe(get(target=b"/livez/"), 200),
    "wrong method": Probe(get(target=b"/v1/rerank"), 405),
    "body of a GET": Probe(get(b"Content-Length: 4") + b"abcd", 200),
    "unknown media type": Probe(
        post(b"Content-Type: text/plain", LENGTH, body=OK).replace(
            b"Content-Type: application/json\r\n", b""
        ),
        415,
    ),
}


@pytest.mark.parametrize("probe", ANSWERED.values(), ids=ANSWERED)
def test_clear_requests_are_answered_and_the_connection_stays_open(port: int, probe: Probe) -> None:
    with connect(port) as connection:
        connection.sendall(probe.sent)
        status, _, _ = read_reply(connection)
        assert status == probe.status
        connection.sendall(get(b"Connection: close"))
        assert STATUS.findall(read_all(connection)) == [b"200"]


PIPELINED = {
    "the same again": (get() * 3, b"200"),
    "behind a body": (post(LENGTH, body=OK) + SMUGGLED * 3, b"200"),
    "after the last": (get(b"Connection: close") + SMUGGLED, b"200"),
    "rubbish": (post(LENGTH, body=OK) + b"\x00\xff" * 100, b"200"),
    "a flood": (get() * 20_000, b"200"),
    "behind an upgrade": (get(b"Connection: Upgrade", b"Upgrade: h2c") + SMUGGLED, b"200"),
}


@pytest.mark.parametrize(("sent", "status"), PIPELINED.values(), ids=PIPELINED)
def test_one_request_at_a_time(port: int, sent: bytes, status: bytes) -> None:
    """Bytes that arrive before the answer are never taken for a request."""
    with connect(port) as connection:
        connection.sendall(sent)
        assert STATUS.findall(read_all(connection)) == [status]


# -- bodies of unexpected sizes --------------------------------------------------------------------


def test_a_gzip_bomb_is_not_opened(gateway: Gateway, port: int) -> None:
    process = psutil.Process(gateway.process.pid)
    bomb = gzip.compress(bytes(50_000_000))
    before = process.memory_info().rss
    with connect(port) as connection:
        length = b"Content-Length: %d" % len(bomb)
        connection.sendall(post(b"Content-Encoding: gzip", length, body=bomb))
        status, _, body = read_reply(connection)
    assert (status, json.loads(body)["error"]["param"]) == (415, "Content-Encoding")
    assert process.memory_info().rss - before < 20_000_000


def test_an_endless_body_is_refused_and_then_cut_off(gateway: Gateway, port: int) -> None:
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    chunk = b"%x\r\n%b\r\n" % (1_000_000, bytes(1_000_000))
    with connect(port) as connection:
        connection.sendall(post(CHUNKED, body=chunk))
        status, _, body = read_reply(connection)
        assert (status, json.loads(body)["error"]["code"]) == (413, "body_too_large")
        with pytest.raises(OSError):
            for _ in range(1000):
                connection.sendall(chunk)
    assert process.memory_info().rss - before < 20_000_000


def test_a_body_in_the_smallest_chunks_is_read(port: int) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in OK) + b"0\r\n\r\n"
    with connect(port) as connection:
        connection.sendall(post(CHUNKED, body=body))
        assert read_reply(connection)[0] == 200


def test_a_refused_request_that_awaits_100_continue_ends_its_connection(port: int) -> None:
    """A client that awaits 100 Continue may send its body or not, so its connection must end."""
    declared = post(b"Content-Length: 99999999")
    asked = post(b"Expect: 100-continue", b"Content-Length: 99999999")
    with connect(port) as connection:
        connection.sendall(asked)
        assert_refused(read_all(connection), 413)
    with connect(port) as connection:
        connection.sendall(declared)
        status, headers, _ = read_reply(connection)
        assert (status, headers.get("connection")) == (413, None)


def test_a_body_may_be_announced(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(post(b"Expect: 100-continue", LENGTH))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(OK)
        status, headers, _ = read_reply(connection)
        assert (status, headers.get("connection")) == (200, None)


# -- bodies that parsers disagree about ------------------------------------------------------------

BODIES: dict[str, tuple[bytes, int]] = {  # a number above all documents means all of them
    "1e999": (b'{"query": "q", "documents": ["a"], "top_n": 1e999}', 400),
    "1e999 in an unknown field": (b'{"query": "q", "documents": ["a"], "x": 1e999}', 200),
    "2^63 - 1": (b'{"query": "q", "documents": ["a"], "top_n": 9223372036854775807}', 200),
    "2^64": (b'{"query": "q", "documents": ["a"], "top_n": 18446744073709551616}', 200),
    "5000 digits": (b'{"query": "q", "documents": ["a"], "top_n": ' + b"9" * 5000 + b"}", 400),
    "5000 digits after the point": (
        b'{"query": "q", "documents": ["a"], "top_n": 0.' + b"9" * 5000 + b"}",
        400,
    ),
    "keys sent twice": (b'{"query": 7, "query": "q", "documents": [], "documents": ["a"]}', 400),
    "zero byte": (b'{"query": "q", "documents": ["a\\u0000b"]}', 200),
    "escape sequences": (b'{"query": "\\u001b[31m\\u0007", "documents": ["\\u001b]0;x"]}', 200),
    "raw zero byte": (b'{"query": "q", "documents": ["a\0b"]}', 400),
    "empty document": (b'{"query": "q", "documents": [""]}', 200),
    "blank document": (b'{"query": "q", "documents": [" \\t\\u3000"]}', 200),
    "trailing comma": (b'{"query": "q", "documents": ["a"],}', 400),
    "comment": (b'{"query": "q", /* all */ "documents": ["a"]}', 400),
    "single quotes": (b"{'query': 'q', 'documents': ['a']}", 400),
    "300 brackets": (
        b'{"query": "q", "documents": ["a"], "x": ' + b"[" * 300 + b"]" * 300 + b"}",
        200,
    ),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES)
def test_odd_json_is_read_in_one_way(gateway: Gateway, port: int, body: bytes, status: int) -> None:
    with connect(port) as connection:
        connection.sendall(post(b"Content-Length: %d" % len(body), body=body))
        got, _, reply = read_reply(connection)
    assert (got, b"error" in reply) == (status, status != 200), reply
    assert json.loads(reply)
    assert b"\x1b" not in gateway.log.read_bytes()
