"""The clients of a chaos run. Each request becomes one row of the ledger, whatever its outcome."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import aiohttp

from tests.system.chaos_ledger import LEFT, LOST, Kind, Row, judged

DEADLINE_SECONDS = 120.0
_GRACE_SECONDS = 30.0  # after this long past its deadline a request counts as lost
_QUERY = "which?"
_LARGE = 800
_PAUSE_SECONDS = 0.06
_PAGES, _BOOKS = 60, 3  # small and large requests that come again and again
_REPEATED_SHARE = 0.5
_MIX = {Kind.SMALL: 80, Kind.LARGE: 3, Kind.SLOW: 4, Kind.HASTY: 6, Kind.LEAVING: 7}


class Clients:
    """Clients that send one request after the other.

    Attributes:
        rows: the ledger.
        stopped: set to end the clients.
        shifts: of all margins, by the files that may be served now.
    """

    def __init__(self, url: str, seed: int) -> None:
        self.rows: list[Row] = []
        self.stopped = asyncio.Event()
        self.shifts = frozenset({0.0})
        self._url = url
        self._seed = seed
        self._started = time.monotonic()
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._send: dict[Kind, Callable[[str, random.Random], Awaitable[Row]]] = {
            Kind.SMALL: self._small,
            Kind.LARGE: self._large,
            Kind.SLOW: self._slow,
            Kind.HASTY: self._hasty,
            Kind.LEAVING: self._leaving,
        }

    async def close(self) -> None:
        await self._session.close()

    async def run(self, client: int) -> None:
        """Run one client until `stopped`; its requests depend on the seed alone."""
        chance = random.Random(f"{self._seed}/{client}")
        number = 0
        while not self.stopped.is_set():
            (kind,) = chance.choices(list(_MIX), list(_MIX.values()))
            number += 1
            self.rows.append(await self._send[kind](f"c{client}-{number}", chance))
            try:
                async with asyncio.timeout(chance.uniform(0, _PAUSE_SECONDS)):
                    await self.stopped.wait()
            except TimeoutError:
                continue

    async def poison(self, text: str, name: str) -> None:
        """Send a request with this text among others."""
        documents = [f"innocent of {name}", text, "innocent, too"]
        self.rows.append(await self._ask(name, Kind.POISON, documents))

    async def innocent(self, name: str) -> Row:
        """Send a small request."""
        row = await self._ask(name, Kind.SMALL, _documents(name, 3))
        self.rows.append(row)
        return row

    async def _small(self, name: str, chance: random.Random) -> Row:
        count = chance.randint(1, 5)
        if chance.random() < _REPEATED_SHARE:
            documents = _documents(f"page {chance.randrange(_PAGES)}", count)
        else:
            documents = _documents(name, count)
        return await self._ask(name, Kind.SMALL, documents)

    async def _large(self, name: str, chance: random.Random) -> Row:
        count, words = chance.randint(_LARGE // 4, _LARGE), chance.randint(3, 40)
        if chance.random() < _REPEATED_SHARE:
            book = chance.randrange(_BOOKS)
            documents = _documents(f"book {book}", count, words=3 * book)
        else:
            documents = _documents(name, count, words=words)
        return await self._ask(name, Kind.LARGE, documents)

    async def _hasty(self, name: str, chance: random.Random) -> Row:
        seconds = chance.randint(1, 200) / 1000
        return await self._ask(name, Kind.HASTY, _documents(name, 5), seconds)

    async def _leaving(self, name: str, chance: random.Random) -> Row:
        """Close the connection after a moment; sometimes the answer is faster."""
        sent = time.monotonic()
        asking = asyncio.ensure_future(self._ask(name, Kind.LEAVING, _documents(name, 20)))
        await asyncio.wait({asking}, timeout=chance.uniform(0, 0.03))
        if asking.done():
            return asking.result()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return self._row(name, Kind.LEAVING, sent, DEADLINE_SECONDS, LEFT)

    async def _ask(
        self, name: str, kind: Kind, documents: list[str], seconds: float = DEADLINE_SECONDS
    ) -> Row:
        sent, shifts = time.monotonic(), self.shifts
        try:
            async with (
                asyncio.timeout(seconds + _GRACE_SECONDS),
                self._session.post(
                    self._url + "/v1/rerank",
                    data=_body(documents),
                    headers=_headers(name, seconds),
                ) as reply,
            ):
                body = await reply.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return self._row(name, kind, sent, seconds, LOST, repr(error))
        answer_to = reply.headers.get("X-Request-Id")
        shifts |= self.shifts
        outcome, defect = judged(_QUERY, documents, reply.status, body, shifts)
        if answer_to != name:
            defect = f"this is the answer to {answer_to}"
        return self._row(name, kind, sent, seconds, outcome, defect)

    async def _slow(self, name: str, chance: random.Random) -> Row:
        """Send in pieces and read in pieces, until the end of the stream."""
        sent, documents, shifts = time.monotonic(), _documents(name, 200), self.shifts
        try:
            async with asyncio.timeout(DEADLINE_SECONDS + _GRACE_SECONDS):
                raw = await self._exchange_slowly(name, documents, chance)
            head, _, body = raw.partition(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            shifts |= self.shifts
            outcome, defect = judged(_QUERY, documents, status, json.loads(body), shifts)
        except (OSError, TimeoutError, ValueError, IndexError) as error:
            return self._row(name, Kind.SLOW, sent, DEADLINE_SECONDS, LOST, repr(error))
        return self._row(name, Kind.SLOW, sent, DEADLINE_SECONDS, outcome, defect)

    async def _exchange_slowly(
        self, name: str, documents: list[str], chance: random.Random
    ) -> bytes:
        address = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=4096)
        try:
            request = _raw(address.netloc, name, documents)
            for piece in _pieces(request, 6):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(chance.uniform(0, 0.15))  # this client is slow
            raw = b""
            while piece := await reader.read(2048):
                raw += piece
                await asyncio.sleep(0.005)
            return raw
        finally:
            writer.close()

    def _row(
        self,
        name: str,
        kind: Kind,
        sent: float,
        allowed: float,
        outcome: str,
        defect: str = "",
    ) -> Row:
        now = time.monotonic()
        return Row(name, kind, sent - self._started, now - sent, allowed, outcome, defect)


def _documents(name: str, count: int, words: int = 3) -> list[str]:
    filling = " word" * words
    return [f"document {place} of {name}{filling}" for place in range(count)]


def _body(documents: Sequence[str]) -> bytes:
    return json.dumps({"query": _QUERY, "documents": documents}).encode()


def _headers(name: str, seconds: float) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Request-Id": name,
        "X-Request-Timeout-Ms": str(max(1, round(seconds * 1000))),
    }


def _raw(host: str, name: str, documents: Sequence[str]) -> bytes:
    body = _body(documents)
    headers = _headers(name, DEADLINE_SECONDS) | {
        "Host": host,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers.items())
    return f"POST /v1/rerank HTTP/1.1\r\n{lines}\r\n".encode() + body


def _pieces(data: bytes, count: int) -> list[bytes]:
    size = -(-len(data) // count)
    return [data[start : start + size] for start in range(0, len(data), size)]
