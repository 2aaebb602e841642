"""A shard whose engine computes asynchronously, as a GPU does; and the estimate of batch times."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.engines.base import RunsAhead
from shards.pairs import Batch
from shards.wire.messages import Cancel, Failed, Scores
from shards.worker.runner import BatchTime
from tests.shards.in_process import Client, FaultyEngine, margins, running

MANY = [f"document {number}" for number in range(1000)]  # five batches


class AheadEngine(FaultyEngine):
    """Computes one batch after the other in a thread; the next `unready` ones cannot begin."""

    def __init__(self) -> None:
        super().__init__()
        self.runs_ahead = True
        self.launched: SimpleQueue[int] = SimpleQueue()
        self.unready = 0
        self._thread = ThreadPoolExecutor(1)

    def launch(self, batch: Batch) -> Callable[[], list[float]]:
        """See `RunsAhead`."""
        if self.unready:
            self.unready -= 1
            raise MemoryError
        self.launched.put(len(batch))
        return self._thread.submit(self.score, batch).result


@pytest.fixture
def engine() -> AheadEngine:
    return AheadEngine()


@pytest.fixture
def client(engine: AheadEngine) -> Iterator[Client]:
    with running(engine) as client:
        yield client


def begin_two(engine: AheadEngine, client: Client, second: list[str]) -> None:
    """Put job 1 on the device, and begin job 2 behind it."""
    engine.gate.clear()
    client.score(1, ["a"])
    assert engine.launched.get(timeout=120) == 1
    assert engine.busy.wait(120)
    client.score(2, second)
    assert engine.launched.get(timeout=120) == len(second)


def test_the_engine_is_one_that_runs_ahead(engine: AheadEngine) -> None:
    assert isinstance(engine, RunsAhead)
    assert not isinstance(FaultyEngine(), RunsAhead)


def test_the_next_batch_is_begun_while_one_is_computed(engine: AheadEngine, client: Client) -> None:
    begin_two(engine, client, ["b", "c"])
    assert client.pipe.receive() == []
    assert client.pipe.progress().jobs == (1, 2)  # both are suspects if the shard ends now
    engine.gate.set()
    answers = client.answers(2)
    assert [answers[job] for job in (1, 2)] == [
        answer
        for answer in answers.values()
        if isinstance(answer, Scores) and answer.margins in (margins(["a"]), margins(["b", "c"]))
    ]
    progress = client.pipe.progress()
    assert (progress.jobs, progress.is_on_device) == ((), False)


def test_no_more_than_two_are_begun(engine: AheadEngine, client: Client) -> None:
    """Jobs 3 and 4 wait while two batches are in flight, so they share the third."""
    begin_two(engine, client, ["b"])
    client.score(3, ["c"])
    client.score(4, ["d"])
    client.until_tokenized(4)
    engine.gate.set()
    assert set(client.answers(4)) == {1, 2, 3, 4}
    assert engine.batches == [1, 1, 2]


def test_a_large_job_keeps_the_device_busy(engine: AheadEngine, client: Client) -> None:
    """Its next portion is begun before the device runs out of it."""
    engine.gate.clear()
    client.score(1, MANY)
    for _ in range(2):
        engine.launched.get(timeout=120)
    engine.gate.set()
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.margins == margins(MANY)


def test_a_pair_that_cannot_be_scored_costs_its_own_job_only(
    engine: AheadEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["a", "raise"])
    assert engine.busy.wait(120)
    client.score(2, ["b", "nan"])
    client.score(3, ["c"])
    client.until_tokenized(3)
    engine.gate.set()
    answers = client.answers(3)
    assert answers[1] == Failed(1, "engine_error", "RuntimeError", document=1)
    assert answers[2] == Failed(2, "invalid_score", "nan", document=1)
    assert isinstance(answers[3], Scores)
    assert answers[3].margins == margins(["c"])


def test_a_batch_without_memory_is_halved_when_its_turn_comes(
    engine: AheadEngine, client: Client
) -> None:
    begin_two(engine, client, ["b"])
    engine.unready = 2  # the batch, and its first half
    client.score(3, ["c", "d", "e", "f"])
    client.until_tokenized(3)
    engine.gate.set()
    answers = client.answers(3)
    assert all(isinstance(answer, Scores) for answer in answers.values())
    assert engine.batches == [1, 1, 1, 1, 2]


def test_a_job_cancelled_in_flight_is_answered_when_it_has_landed(
    engine: AheadEngine, client: Client
) -> None:
    begin_two(engine, client, ["b"])
    client.pipe.send(Cancel(2))
    client.score(3, ["c"])
    client.until_tokenized(3)
    assert client.pipe.receive() == []
    engine.gate.set()
    answers = client.answers(3)
    assert answers[2] == Failed(2, "cancelled", "the client left", computed_tokens=1)
    assert isinstance(answers[1], Scores)
    assert isinstance(answers[3], Scores)


def _learnt(*batches: tuple[int, int]) -> BatchTime:
    batch_time = BatchTime()
    for tokens, ns in batches:
        batch_time.learn(tokens, ns)
    return batch_time


def test_nothing_is_expected_before_the_first_batch() -> None:
    assert BatchTime().expected_ns(1000) == 0


@given(st.integers(1, 10_000), st.integers(1, 10**10), st.integers(1, 10_000))
def test_no_batch_is_expected_to_be_faster_than_the_fastest(
    first: int, ns: int, next_: int
) -> None:
    assert _learnt((first, ns)).expected_ns(next_) >= ns


def test_a_cost_per_token_is_learnt() -> None:
    batch_time = _learnt(*[(tokens, 1000 + 5 * tokens) for tokens in (10, 1000, 100, 2000) * 20])
    for tokens in (100, 1000, 4000):
        true = 1000 + 5 * tokens
        assert 0.7 * true < batch_time.expected_ns(tokens) < 1.5 * true


def test_two_batches_suffice_for_an_estimate_of_a_long_one() -> None:
    """The probes of a start must do for a document of the largest size."""
    batch_time = _learnt((10, 1050), (200, 2000))
    assert batch_time.expected_ns(30_000) >= 0.8 * (1000 + 5 * 30_000)


def test_the_estimate_follows_a_device_that_has_become_slower() -> None:
    batch_time = _learnt((100, 1000), *[(100, 8000)] * 100)
    assert batch_time.expected_ns(100) >= 8000
