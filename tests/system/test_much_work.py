"""Bodies within the limits that ask for much work: other requests are answered meanwhile."""

import asyncio
from pathlib import Path

import psutil

from tests.system.operator import model
from tests.system.raw import connect, get, post, read_reply
from tests.system.running import running

MUCH_WORK = {
    "rank_fields": b'{"query":"q","rank_fields":[%b"a"],"documents":[%b{"a":"x"}]}'
    % (b'"b",' * 100_000, b'{"a":"x"},' * 2_999),
    "the same field joined": b'{"query":"q","rank_fields":[%b"a"],"documents":[%b]}'
    % (b'"a",' * 2_999, b",".join([b'{"a":"%b"}' % (b"x" * 1000)] * 300)),
    "lists": b'{"query":"q","documents":["a"],"x":[%b[]]}' % (b"[]," * 2_500_000),
    "objects": b'{"query":"q","documents":[%b{"a":0}]}' % (b'{"a":0},' * 900_000),
    "fields": b'{"query":"q",%b"documents":["a"]}'
    % b"".join([b'"%x":0,' % i for i in range(700_000)]),
}


async def test_a_body_that_asks_for_much_work_stops_no_other_request(tmp_path: Path) -> None:
    async with running(model("m"), tmp_path) as gateway:
        port = int(gateway.url.rpartition(":")[2])
        for name, body in MUCH_WORK.items():
            gate = psutil.Process(gateway.process.pid)
            status, longest = await asyncio.to_thread(most_work_beside, port, gate, body)
            assert (status, longest < 2) == (400, True), (name, longest)


def most_work_beside(port: int, gate: psutil.Process, body: bytes) -> tuple[int, float]:
    """Send a body; return its status, and the most work in which another request got no answer.

    The work is CPU seconds of the gateway while one of 20 other requests waits: the time of a busy
    machine does not count.
    """
    with connect(port) as connection, connect(port) as other:
        connection.sendall(post(b"Content-Length: %d" % len(body), body=body))
        work = []
        for _ in range(20):
            before = sum(gate.cpu_times()[:2])
            other.sendall(get())
            assert read_reply(other)[0] == 200
            work.append(sum(gate.cpu_times()[:2]) - before)
        return read_reply(connection)[0], max(work)
