"""A shard over a real pipe, in a thread of this process: what it answers to what it is sent."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from shards.engines.base import Engine, Facts
from shards.engines.fake import FakeEncoder, margin
from shards.pace import Pace
from shards.pairs import Batch, EncodedPair
from shards.wire.messages import DOCUMENT_TOO_LONG, Cancel, Failed, Message, Score, Scores, Stop
from shards.wire.pipe import GatewayEnd
from shards.worker import Shard
from tests.pipes import shard_end

_FACTS = Facts(engine="test", device="cpu", dtype="fp32", max_length=100, token_budget=200)
_SOON_NS = 60_000_000_000


class MoodyEncoder(FakeEncoder):
    """Encodes like the fake engine; lets the engine see the words `raise` and `nan`."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length)
        self.kept_ends: list[bool] = []

    def encode(
        self,
        query: str,
        documents: Sequence[str],
        *,
        instruction: str,
        max_document_tokens: int,
        keep_end: bool = False,
    ) -> list[EncodedPair]:
        assert instruction != "unspeakable"
        self.kept_ends.append(keep_end)
        pairs = super().encode(
            query, documents, instruction=instruction, max_document_tokens=max_document_tokens
        )
        moods = {"raise": -1, "nan": -2}
        return [
            EncodedPair([moods.get(document, pair.token_ids[0])], 1, pair.truncated)
            for pair, document in zip(pairs, documents, strict=True)
        ]


class MoodyEngine:
    """Raises or returns NaN where the encoder saw the words; waits until `gate` is open."""

    def __init__(self) -> None:
        self.facts = _FACTS
        self.encoder = MoodyEncoder(_FACTS.max_length)
        self.gate = threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.batches: list[int] = []

    def warm_up(self) -> None:
        """Nothing to warm."""

    def score(self, batch: Batch) -> list[float]:
        self.batches.append(len(batch))
        self.busy.set()
        assert self.gate.wait(20)
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

    def until_encoded(self, count: int) -> None:
        """Wait until the intake has dealt with so many jobs."""
        end = time.monotonic() + 20
        while self.pipe.progress().encoded < count:
            assert time.monotonic() < end
            time.sleep(0.001)

    def answers(self, count: int) -> dict[int, Message]:
        """Wait for the answers to so many jobs."""
        got: dict[int, Message] = {}
        end = time.monotonic() + 20
        while len(got) < count:
            assert time.monotonic() < end, f"only {got}"
            for message in self.pipe.receive():
                assert isinstance(message, Scores | Failed)
                assert message.job not in got, "answered twice"
                got[message.job] = message
            time.sleep(0.001)
        return got


@contextmanager
def _running(engine: Engine) -> Iterator[Client]:
    gateway = GatewayEnd(generation=1)
    end = shard_end(gateway, generation=1)
    thread = threading.Thread(target=Shard(engine, end, Pace()).run)
    thread.start()
    try:
        yield Client(gateway)
    finally:
        gateway.send(Stop())
        thread.join(20)
        assert not thread.is_alive()
        end.close()
        gateway.close()


@pytest.fixture
def engine() -> MoodyEngine:
    return MoodyEngine()


@pytest.fixture
def client(engine: MoodyEngine) -> Iterator[Client]:
    with _running(engine) as client:
        yield client


def _margins(documents: Sequence[str], query: str = "q") -> tuple[float, ...]:
    return tuple(margin(query, document) for document in documents)


def test_margins_come_back_in_order(client: Client) -> None:
    documents = [f"document {number}" for number in range(500)]
    client.score(1, documents)
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.margins == _margins(documents)


def test_each_document_may_have_its_own_query(client: Client) -> None:
    client.score(1, ["a", "b"], queries=("first", "second"))
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.margins == (margin("first", "a"), margin("second", "b"))


def test_a_pair_that_cannot_be_scored_costs_its_own_job_only(
    engine: MoodyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(20)
    client.score(2, ["a", "raise", "b"])
    client.score(3, ["c", "d"])
    client.until_encoded(3)
    engine.gate.set()
    answers = client.answers(3)
    assert answers[2] == Failed(2, "engine_error", "RuntimeError", document=1)
    assert isinstance(answers[3], Scores)
    assert answers[3].margins == _margins(["c", "d"])
    assert max(engine.batches) == 5  # they did share a batch


def test_a_score_that_is_no_number_costs_its_own_job_only(
    engine: MoodyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(20)
    client.score(2, ["nan", "a"])
    client.score(3, ["b"])
    client.until_encoded(3)
    engine.gate.set()
    answers = client.answers(3)
    assert answers[2] == Failed(2, "invalid_score", "nan", document=0)
    assert isinstance(answers[3], Scores)


def test_an_encoder_that_fails_costs_its_own_job_only(client: Client) -> None:
    client.score(1, ["a"], instruction="unspeakable")
    client.score(2, ["b"])
    answers = client.answers(2)
    assert answers[1] == Failed(1, "engine_error", "encoding failed: AssertionError")
    assert isinstance(answers[2], Scores)


def test_a_query_that_is_too_long_is_said_to_be(client: Client) -> None:
    client.score(1, ["a"], queries=("word " * 200,))
    answer = client.answers(1)[1]
    assert isinstance(answer, Failed)
    assert answer.code == "query_too_long"
    assert "the model's limit is 100" in answer.message


def test_a_cancelled_job_is_not_scored_but_answered(engine: MoodyEngine, client: Client) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(20)
    client.score(2, ["second"])
    client.score(3, ["third"])
    client.pipe.send(Cancel(2))
    assert client.answers(1) == {2: Failed(2, "cancelled", "the client left")}
    engine.gate.set()
    assert set(client.answers(2)) == {1, 3}
    assert sum(engine.batches) == 2


def test_a_job_cancelled_on_the_device_is_answered_when_the_device_is_done(
    engine: MoodyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["on the device"])
    assert engine.busy.wait(20)
    client.pipe.send(Cancel(1))
    client.score(2, ["next"])
    client.until_encoded(2)
    assert client.pipe.receive() == []
    engine.gate.set()
    answers = client.answers(2)
    assert answers[1] == Failed(1, "cancelled", "the client left", computed_tokens=1)
    assert isinstance(answers[2], Scores)


def test_an_overdue_job_is_not_scored(engine: MoodyEngine, client: Client) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(20)
    client.score(2, ["second"], deadline_ns=0)
    client.score(3, ["third"])
    client.until_encoded(3)
    engine.gate.set()
    answers = client.answers(3)
    assert isinstance(answers[2], Failed)
    assert answers[2].code == "deadline"
    assert sum(engine.batches) == 2


def test_a_stopped_shard_finishes_what_it_has(engine: MoodyEngine) -> None:
    with _running(engine) as client:
        engine.gate.clear()
        client.score(1, ["a"])
        assert engine.busy.wait(20)
        client.score(2, ["b"])
        client.pipe.send(Stop())
        engine.gate.set()
        assert all(isinstance(answer, Scores) for answer in client.answers(2).values())


def test_the_device_is_marked_busy_while_it_is(engine: MoodyEngine, client: Client) -> None:
    engine.gate.clear()
    client.score(7, ["a"])
    assert engine.busy.wait(20)
    busy = client.pipe.progress()
    engine.gate.set()
    client.answers(1)
    idle = client.pipe.progress()
    assert (busy.started, busy.done, busy.jobs, busy.is_on_device) == (1, 0, (7,), True)
    assert (idle.started, idle.done, idle.jobs, idle.is_on_device) == (1, 1, (), False)
    assert (idle.encoded, idle.encoding) == (1, 0)


def test_a_document_that_must_not_be_cut_fails_its_job_before_it_is_scored(
    engine: MoodyEngine,
) -> None:
    documents = ["one two", "one two three", "one", "a b c d"]
    with _running(engine) as client:
        client.score(1, documents, max_document_tokens=2, refuse_truncation=True)
        client.score(2, documents, max_document_tokens=4, refuse_truncation=True)
        client.score(3, documents, max_document_tokens=2)
        answers = client.answers(3)
    assert answers[1] == Failed(1, DOCUMENT_TOO_LONG, "document 1 is too long", document=1)
    whole, cut = answers[2], answers[3]
    assert isinstance(whole, Scores)
    assert isinstance(cut, Scores)
    assert (whole.truncated, cut.truncated) == ((), (1, 3))
    assert sum(engine.batches) == 8


def test_which_end_is_cut_reaches_the_encoder(engine: MoodyEngine) -> None:
    with _running(engine) as client:
        client.score(1, ["a"])
        client.score(2, ["a"], keep_end=True)
        client.answers(2)
    assert engine.encoder.kept_ends == [False, True]
