"""The fake engine with faults: a document with one of these words makes the shard fail.

<<segv>>   crashes in native code         <<exit 3>>  ends the process with this code
<<abort>>  aborts                         <<raise>>   the engine raises for this pair
<<spin>>   spins in native code, with the interpreter's lock held
<<sleep>>  blocks in a call that never returns
<<nan>>    the score is not a number      <<oom>>     does not fit beside more than one other
<<stuck>>  the tokenizer never returns    <<choke>>   the tokenizer ends the process
<<short>>  a score is missing             <<fork>>    starts a child that outlives the shard
<<spam>>   writes 5 MB to stderr          <<cuda>>    the device is lost
<<lie>>    from now on every score of the shard is wrong by one
<<break 6>> is scored, but the engine raises for the next six single pairs of any text
<<leak 90>> leaks 90 MiB                  <<crowd 70>> exits with this code unless it is alone

Loading reports progress ten times a second. The file of `CHAOS_EDITION` holds a number that moves
all margins, as other weights would; it counts as the files of the model.
"""

import ctypes
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shards.engines.fake import FakeEngine, FakeTextTokenizer, FakeTokenizer, parse_options
from shards.engines.fake import load as load_fake
from shards.pairs import Batch, TokenizedPair
from shards.refusal import Report
from shards.wire.facts import WHOLE
from shards.wire.spec import ShardSpec

_WORD = re.compile(r"<<(\w+)(?: (\d+))?>>")
_FOREVER_SECONDS = 100_000
_NO_CHECKSUM = 1 << 32  # no token of a pair is as large


class OutOfMemoryError(RuntimeError):
    """An error with the name of torch's."""


def _segv(_: int) -> None:
    ctypes.string_at(0)


def _abort(_: int) -> None:
    os.kill(os.getpid(), signal.SIGABRT)


def _spin(_: int) -> None:
    ctypes.PyDLL(None).sleep(_FOREVER_SECONDS)  # PyDLL keeps the interpreter's lock


def _sleep(_: int) -> None:
    time.sleep(_FOREVER_SECONDS)


def _raise(_: int) -> None:
    raise ValueError("this pair cannot be scored")


def _fork(_: int) -> None:
    subprocess.Popen(["sleep", str(_FOREVER_SECONDS)])


def _spam(_: int) -> None:
    for _line in range(5_000):
        sys.stderr.write("x" * 1000 + "\n")


def _cuda(_: int) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


_leaked: list[bytearray] = []


def _leak(mebibytes: int) -> None:
    _leaked.append(bytearray(b"\1") * (mebibytes << 20))


_ACTS: dict[str, Callable[[int], None]] = {
    "segv": _segv,
    "abort": _abort,
    "spin": _spin,
    "sleep": _sleep,
    "raise": _raise,
    "cuda": _cuda,
    "exit": os._exit,
    "fork": _fork,
    "spam": _spam,
    "leak": _leak,
}


class ChaosTokenizer(FakeTokenizer):
    """Tokenizer that keeps the words of documents for the engine."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length)
        self.words: dict[int, tuple[str, int]] = {}

    def tokenize(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        if any("<<stuck>>" in document for document in documents):
            time.sleep(_FOREVER_SECONDS)
        if any("<<choke>>" in document for document in documents):
            os._exit(1)
        pairs = super().tokenize(
            query, documents, instruction=instruction, max_document_tokens=max_document_tokens
        )
        for pair, document in zip(pairs, documents, strict=True):
            if found := _WORD.search(document):
                self.words[pair.token_ids[0]] = (found[1], int(found[2] or 0))
        return pairs


class ChaosTextTokenizer(ChaosTokenizer):
    """The same for a model with vectors."""

    def __init__(self, max_length: int, width: int) -> None:
        super().__init__(max_length)
        self._tokenizer = FakeTextTokenizer(max_length, width)

    def texts(self, texts: Sequence[str], **how: Any) -> list[TokenizedPair]:
        found = self._tokenizer.texts(texts, **how)
        for number, (one, text) in enumerate(zip(found, texts, strict=True)):
            if word := _WORD.search(text):
                one.token_ids[0] = _NO_CHECKSUM + number
                self.words[one.token_ids[0]] = (word[1], int(word[2] or 0))
        return found


def edition() -> float:
    """Return the shift of all margins by the file of `CHAOS_EDITION`; 0 without one."""
    file = os.environ.get("CHAOS_EDITION")
    return float(Path(file).read_text()) if file else 0.0


class ChaosEngine(FakeEngine):
    """Engine with the faults of the words."""

    tokenizer: ChaosTokenizer
    broken_for = 0
    lie = 0.0
    shift = 0.0

    def score(self, batch: Batch) -> list[float]:
        if self.broken_for:
            self.broken_for -= len(batch) == 1
            raise ValueError("this shard is broken for a while")
        words = [self.tokenizer.words.get(pair.token_ids[0], ("", 0)) for pair in batch]
        self.broken_for = sum(number for word, number in words if word == "break")
        if len(batch) > 2 and ("oom", 0) in words:
            raise OutOfMemoryError("out of memory, as its document asks")
        for word, number in words:
            if word == "crowd" and len(batch) > 1:
                os._exit(number)
            if word in _ACTS:
                _ACTS[word](number)
        self.lie = 1.0 if ("lie", 0) in words else self.lie
        moved = self.lie + self.shift
        margins = [margin + moved for margin in super().score(batch)]
        if ("short", 0) in words:
            return margins[1:]
        return [
            math.nan if word == "nan" else margin
            for margin, (word, _) in zip(margins, words, strict=True)
        ]


def load(spec: ShardSpec, report: Report) -> ChaosEngine:
    """Load the fake engine, and add the faults."""
    milliseconds = parse_options(spec.source)["load_ms"]
    for step in range(milliseconds // 100):
        report(f"step {step}")
        time.sleep(0.1)
    fake = load_fake(replace(spec, source=re.sub(r"load_ms=\d+", "load_ms=0", spec.source)), report)
    shift = edition()
    files = f"{WHOLE}edition {shift}" if "CHAOS_EDITION" in os.environ else ""
    facts = replace(fake.facts, files=files, fingerprint=files)
    engine = ChaosEngine(facts, fake._delay_seconds)
    engine.shift = shift
    width, longest = facts.vector_width, facts.max_length
    engine.tokenizer = ChaosTextTokenizer(longest, width) if width else ChaosTokenizer(longest)
    return engine
