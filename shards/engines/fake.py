"""An engine without a model: for system tests, load tests and trying a configuration out.

No torch, no files, no wait: a margin is a checksum of query and document, so any client can compute
the expected one. The source holds options, `fake?delay_ms=5&load_ms=200`:

    delay_ms=N       each batch takes this long
    load_ms=N        loading takes this long
    memory_mb=N      it holds so much memory, and load_memory_mb=N more while it loads
    refuse=CODE      loading ends in a refusal with this exit code
    crash_on_load=1  loading ends the process at once
    judged=1         its canaries are judged as if its scores had a meaning
    inverted=1       every margin has the other sign, which reverses the order
    files=N          it has files with this hash, so that its scores outlive its process
    vectors=N        it gives vectors of N numbers, see `fake_vector`, which may be cut from 8 on
"""

import os
import re
import struct
import time
import zlib
from collections.abc import Sequence
from urllib.parse import parse_qsl

from shards.pairs import Batch, QueryTooLong, TokenizedPair, VectorSlot
from shards.refusal import Refusal, Report
from shards.wire.exit_codes import ExitCode
from shards.wire.facts import WHOLE, Facts
from shards.wire.spec import ShardSpec

_OPTIONS = (
    *("delay_ms", "load_ms", "refuse", "crash_on_load", "judged", "inverted", "files"),
    *("vectors", "memory_mb", "load_memory_mb"),
)
_MAX_LENGTH = 8192
_CUT_FROM = 8


def margin(query: str, document: str) -> float:
    """Return the pair's margin: in [-8, 8), a multiple of 2^-20, so exact in fp32."""
    checksum = zlib.crc32(f"{query}\x00{document}".encode())
    return (checksum >> 8) / (1 << 20) - 8.0


def fake_vector(side: str, text: str, width: int) -> list[float]:
    """Return the vector of a text: whole numbers below 1000, so exact in fp32."""
    return [
        float(zlib.crc32(f"{side}\x00{text}\x00{place}".encode()) % 1000) for place in range(width)
    ]


class FakeTokenizer:
    """Counts a word as a token, and one more for the pair, whose id is the pair's checksum."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length

    def tokenize(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        """See `Tokenizer`. A cut document keeps the margin of the whole one."""
        start = len(query.split()) + 1
        if start >= self.max_length:
            raise QueryTooLong(start, self.max_length)
        room = self.max_length - start
        limit = min(room, max_document_tokens or room)
        return [self._pair(query, document, start, limit) for document in documents]

    def starts(self, document: str) -> list[int]:
        """See `Tokenizer`."""
        return [word.start() for word in re.finditer(r"\S+", document)]

    def _pair(self, query: str, document: str, start: int, limit: int) -> TokenizedPair:
        words = len(document.split())
        length = start + min(words, limit)
        checksum = int((margin(query, document) + 8.0) * (1 << 20))
        return TokenizedPair([checksum, *[0] * (length - 1)], length, words > limit)


class FakeTextTokenizer(FakeTokenizer):
    """The same for a model with vectors: the slots of texts hold the vectors at once."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__(max_length)
        self._width = width

    def texts(
        self,
        texts: Sequence[str],
        *,
        side: str,
        instruction: str,
        max_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        """See `EncodesTexts`. A cut text keeps the vector of the whole one."""
        limit = min(self.max_length, max_tokens or self.max_length)
        found = []
        for text in texts:
            words = len(text.split())
            vector = struct.pack(f"<{self._width}f", *fake_vector(side, text, self._width))
            ids = [0] * max(1, min(words, limit))
            found.append(TokenizedPair(ids, len(ids), words > limit, slot=VectorSlot(data=vector)))
        return found


class FakeEngine:
    """Returns the margins that its tokenizer put into the token ids."""

    def __init__(
        self, facts: Facts, delay_seconds: float, sign: int = 1, memory: bytes = b""
    ) -> None:
        self.facts = facts
        self._memory = memory
        self._sign = sign
        self.tokenizer = (
            FakeTextTokenizer(facts.max_length, facts.vector_width)
            if facts.vector_width
            else FakeTokenizer(facts.max_length)
        )
        self._delay_seconds = delay_seconds

    def warm_up(self) -> None:
        """See `Engine`; there is nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        """See `Engine`."""
        if self._delay_seconds:
            time.sleep(self._delay_seconds)
        for slot in (pair.slot for pair in batch):
            if slot is not None and slot.dimensions:
                slot.data = slot.data[: 4 * slot.dimensions]
        return [self._sign * (pair.token_ids[0] / (1 << 20) - 8.0) for pair in batch]


def load(spec: ShardSpec, report: Report) -> FakeEngine:
    """Load with the options of the source; see `shards.engines.base.Load`."""
    options = parse_options(spec.source)
    report("loading nothing")
    memory = _resident(options["memory_mb"])
    while_loading = _resident(options["load_memory_mb"])
    time.sleep(options["load_ms"] / 1000)
    del while_loading
    if options["crash_on_load"]:
        os._exit(1)
    if options["refuse"]:
        raise Refusal("refused, as its source asks", ExitCode(options["refuse"]))
    max_length = spec.max_length or _MAX_LENGTH
    facts = Facts(
        engine="fake",
        device=spec.device,
        dtype="fp32",
        max_length=max_length,
        token_budget=spec.token_budget or 2 * max_length,
        uses_instruction=False,
        has_meaning=bool(options["judged"]),
        fingerprint=str(options["files"] or ""),
        files=f"{WHOLE}{options['files']}" if options["files"] else "",
        vector_width=options["vectors"],
        any_vector_size=options["vectors"] >= _CUT_FROM,
    )
    sign = -1 if options["inverted"] else 1
    return FakeEngine(facts, options["delay_ms"] / 1000, sign, memory)


def _resident(mib: int) -> bytes:
    """Return so much memory, each page of which was written to."""
    return b"\x01" * (mib << 20)


def parse_options(source: str) -> dict[str, int]:
    """Return the options of a source like `fake?delay_ms=5`; 0 by default."""
    options = dict.fromkeys(_OPTIONS, 0)
    for name, value in parse_qsl(source.partition("?")[2], keep_blank_values=True):
        if name not in options:
            raise _wrong(source, f"{name!r} is unknown; use {', '.join(_OPTIONS)}")
        if not value.isdecimal():
            raise _wrong(source, f"{name} is {value!r}; a number, 0 or more, is expected")
        options[name] = int(value)
    if options["refuse"] not in (0, *map(int, ExitCode)):
        raise _wrong(source, f"refuse={options['refuse']} is not an exit code of a shard")
    return options


def _wrong(source: str, why: str) -> Refusal:
    return Refusal(f"source {source!r}: {why}", ExitCode.SPEC)
