"""A shard in a thread of this process, with an engine that fails on request."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shards.engines.base import Engine
from shards.engines.fake import FakeTokenizer, margin
from shards.pairs import Batch, TokenizedPair
from shards.wire.facts import Facts
from shards.wire.messages import Canary, Failed, Message, Score, Scores, Stop
from shards.wire.pipe import GatewayEnd
from shards.wire.spec import ShardSpec
from shards.worker.batcher import TokenBudget
from shards.worker.canary_check import CanaryCheck
from shards.worker.loop import Shard
from shards.worker.runner import BatchTime
from shards.worker.startup import Started
from tests.pipes import shard_end

_FACTS = Facts(engine="test", device="cpu", dtype="fp32", max_length=100, token_budget=200)
_SOON_NS = 60_000_000_000


class FaultyTokenizer(FakeTokenizer):
    """Tokenizes like the fake engine, and marks the words `raise` and `nan`."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length)
        self.kept_ends: list[bool] = []

    def tokenize(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[TokenizedPair]:
        assert instruction != "unspeakable"
        self.kept_ends.append(keep_end)
        pairs = super().tokenize(
            query, documents, instruction=instruction, max_document_tokens=max_document_tokens
        )
        faults = {"raise": -1, "nan": -2}
        return [
            TokenizedPair([faults.get(document, pair.token_ids[0])], 1, pair.truncated)
            for pair, document in zip(pairs, documents, strict=True)
        ]


class FaultyEngine:
    """Raises or returns NaN where the tokenizer marked a word; waits until `gate` is open."""

    def __init__(self) -> None:
        self.facts = _FACTS
        self.tokenizer = FaultyTokenizer(_FACTS.max_length)
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.batches: list[int] = []
        self.on_step: Callable[[], None] = lambda: None

    def warm_up(self) -> None:
        """See `Engine`; there is nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        self.batches.append(len(batch))
        self.on_step()
        self.busy.set()
        assert self.gate.wait(120)
        firsts = [pair.token_ids[0] for pair in batch]
        if -1 in firsts:
            raise RuntimeError("this pair cannot be scored")
        return [math.nan if first == -2 else first / (1 << 20) - 8.0 for first in firsts]


class Client:
    """The gateway's end, used from the test."""

    def __init__(self, pipe: GatewayEnd) -> None:
        self.pipe = pipe

    def score(
        self,
        job: int,
        documents: Sequence[str],
        *,
        queries: tuple[str, ...] = ("q",),
        deadline_ns: int = _SOON_NS,
        instruction: str = "",
        **settings: Any,
    ) -> None:
        deadline = time.monotonic_ns() + deadline_ns
        settings = {"max_document_tokens": 0} | settings
        score = Score(
            job=job,
            deadline_ns=deadline,
            instruction=instruction,
            queries=queries,
            documents=tuple(documents),
            **settings,
        )
        self.pipe.send(score)

    def until_tokenized(self, count: int) -> None:
        """Wait until the tokenizers have left so many jobs."""
        end = time.monotonic() + 120
        while sum(self.pipe.progress().tokenized) < count:
            assert time.monotonic() < end
            time.sleep(0.001)

    def answers(self, count: int) -> dict[int, Message]:
        """Wait for the answers to so many jobs."""
        got: dict[int, Message] = {}
        end = time.monotonic() + 120
        while len(got) < count:
            assert time.monotonic() < end, f"only {got}"
            for message in self.pipe.receive():
                if isinstance(message, Canary):
                    continue  # not an answer
                assert isinstance(message, Scores | Failed)
                assert message.job not in got, "answered twice"
                got[message.job] = message
            time.sleep(0.001)
        return got


@contextmanager
def running(engine: Engine) -> Iterator[Client]:
    gateway = GatewayEnd(generation=1)
    end = shard_end(gateway, generation=1)
    canary_check = CanaryCheck(engine, ShardSpec(name="m/cpu", model="m", source=""))
    budget = TokenBudget(engine.facts.token_budget)
    shard = Shard(Started(engine, BatchTime(), canary_check), end, budget)
    thread = threading.Thread(target=shard.run)
    thread.start()
    try:
        yield Client(gateway)
    finally:
        gateway.send(Stop())
        thread.join(120)
        assert not thread.is_alive()
        end.close()
        gateway.close()


def margins(documents: Sequence[str], query: str = "q") -> tuple[float, ...]:
    return tuple(margin(query, document) for document in documents)
