"""A shard whose engine computes by itself, in a thread, as a GPU does: the next batch is begun meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import pytest

from shards.engines.base import RunsAhead
from shards.pairs import Batch
from shards.wire.messages import Cancel, Failed, Scores
from tests.shards.moody import Client, MoodyEngine, margins, running

MANY = [f"document {number}" for number in range(1000)]  # five batches


class AheadEngine(MoodyEngine):
    """Computes one batch after the other in a thread; `unready` are those that it cannot even begin."""

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


def two_flights(engine: AheadEngine, client: Client, second: list[str]) -> None:
    """Have job 1 on the device, and job 2 begun behind it."""
    engine.gate.clear()
    client.score(1, ["a"])
    assert engine.launched.get(timeout=20) == 1
    assert engine.busy.wait(20)
    client.score(2, second)
    assert engine.launched.get(timeout=20) == len(second)


def test_the_engine_is_one_that_runs_ahead(engine: AheadEngine) -> None:
    assert isinstance(engine, RunsAhead)
    assert not isinstance(MoodyEngine(), RunsAhead)


def test_the_next_batch_is_begun_while_one_is_computed(engine: AheadEngine, client: Client) -> None:
    two_flights(engine, client, ["b", "c"])
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
    """Jobs 3 and 4 wait while two batches fly, so they share the third."""
    two_flights(engine, client, ["b"])
    client.score(3, ["c"])
    client.score(4, ["d"])
    client.until_encoded(4)
    engine.gate.set()
    assert set(client.answers(4)) == {1, 2, 3, 4}
    assert engine.batches == [1, 1, 2]


def test_a_large_job_keeps_the_device_busy(engine: AheadEngine, client: Client) -> None:
    """Its next portion is there before the device has nothing left of it."""
    engine.gate.clear()
    client.score(1, MANY)
    for _ in range(2):
        engine.launched.get(timeout=20)
    engine.gate.set()
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.margins == margins(MANY)


def test_a_pair_that_cannot_be_scored_costs_its_own_job_only(
    engine: AheadEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["a", "raise"])
    assert engine.busy.wait(20)
    client.score(2, ["b", "nan"])
    client.score(3, ["c"])
    client.until_encoded(3)
    engine.gate.set()
    answers = client.answers(3)
    assert answers[1] == Failed(1, "engine_error", "RuntimeError", document=1)
    assert answers[2] == Failed(2, "invalid_score", "nan", document=1)
    assert isinstance(answers[3], Scores)
    assert answers[3].margins == margins(["c"])


def test_a_batch_for_which_there_is_no_memory_is_halved_when_its_turn_comes(
    engine: AheadEngine, client: Client
) -> None:
    two_flights(engine, client, ["b"])
    engine.unready = 2  # the batch, and its first half
    client.score(3, ["c", "d", "e", "f"])
    client.until_encoded(3)
    engine.gate.set()
    answers = client.answers(3)
    assert all(isinstance(answer, Scores) for answer in answers.values())
    assert engine.batches == [1, 1, 1, 1, 2]


def test_a_job_cancelled_in_flight_is_answered_when_it_has_landed(
    engine: AheadEngine, client: Client
) -> None:
    two_flights(engine, client, ["b"])
    client.pipe.send(Cancel(2))
    client.score(3, ["c"])
    client.until_encoded(3)
    assert client.pipe.receive() == []
    engine.gate.set()
    answers = client.answers(3)
    assert answers[2] == Failed(2, "cancelled", "the client left", computed_tokens=1)
    assert isinstance(answers[1], Scores)
    assert isinstance(answers[3], Scores)
