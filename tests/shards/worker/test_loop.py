"""A shard over a real pipe, in a thread of this process: its answers to messages."""

from shards.engines.fake import margin
from shards.wire.messages import DOCUMENT_TOO_LONG, Cancel, Failed, Scores, Stop
from tests.shards.in_process import Client, FaultyEngine, margins, running


def test_margins_come_back_in_order(client: Client) -> None:
    documents = [f"document {number}" for number in range(500)]
    client.score(1, documents)
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.margins == margins(documents)


def test_each_document_may_have_its_own_query(client: Client) -> None:
    client.score(1, ["a", "b"], queries=("first", "second"))
    answer = client.answers(1)[1]
    assert isinstance(answer, Scores)
    assert answer.margins == (margin("first", "a"), margin("second", "b"))


def test_a_pair_that_cannot_be_scored_costs_its_own_job_only(
    engine: FaultyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(120)
    client.score(2, ["a", "raise", "b"])
    client.score(3, ["c", "d"])
    client.until_tokenized(3)
    engine.gate.set()
    answers = client.answers(3)
    assert answers[2] == Failed(2, "engine_error", "RuntimeError", document=1)
    assert isinstance(answers[3], Scores)
    assert answers[3].margins == margins(["c", "d"])
    assert max(engine.batches) == 5  # the two shared a batch


def test_a_score_that_is_no_number_costs_its_own_job_only(
    engine: FaultyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(120)
    client.score(2, ["nan", "a"])
    client.score(3, ["b"])
    client.until_tokenized(3)
    engine.gate.set()
    answers = client.answers(3)
    assert answers[2] == Failed(2, "invalid_score", "nan", document=0)
    assert isinstance(answers[3], Scores)


def test_a_tokenizer_that_fails_costs_its_own_job_only(client: Client) -> None:
    client.score(1, ["a"], instruction="unspeakable")
    client.score(2, ["b"])
    answers = client.answers(2)
    assert answers[1] == Failed(1, "engine_error", "tokenizing failed: AssertionError")
    assert isinstance(answers[2], Scores)


def test_a_query_that_is_too_long_is_reported(client: Client) -> None:
    client.score(1, ["a"], queries=("word " * 200,))
    answer = client.answers(1)[1]
    assert isinstance(answer, Failed)
    assert answer.code == "query_too_long"
    assert "the model's limit is 100" in answer.message


def test_a_cancelled_job_is_not_scored_but_answered(engine: FaultyEngine, client: Client) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(120)
    client.score(2, ["second"])
    client.score(3, ["third"])
    client.pipe.send(Cancel(2))
    assert client.answers(1) == {2: Failed(2, "cancelled", "the client left")}
    engine.gate.set()
    assert set(client.answers(2)) == {1, 3}
    assert sum(engine.batches) == 2


def test_a_job_cancelled_on_the_device_is_answered_when_the_device_is_done(
    engine: FaultyEngine, client: Client
) -> None:
    engine.gate.clear()
    client.score(1, ["on the device"])
    assert engine.busy.wait(120)
    client.pipe.send(Cancel(1))
    client.score(2, ["next"])
    client.until_tokenized(2)
    assert client.pipe.receive() == []
    engine.gate.set()
    answers = client.answers(2)
    assert answers[1] == Failed(1, "cancelled", "the client left", computed_tokens=1)
    assert isinstance(answers[2], Scores)


def test_an_overdue_job_is_not_scored(engine: FaultyEngine, client: Client) -> None:
    engine.gate.clear()
    client.score(1, ["first"])
    assert engine.busy.wait(120)
    client.score(2, ["second"], deadline_ns=0)
    client.score(3, ["third"])
    client.until_tokenized(3)
    engine.gate.set()
    answers = client.answers(3)
    assert isinstance(answers[2], Failed)
    assert answers[2].code == "deadline"
    assert sum(engine.batches) == 2


def test_a_stopped_shard_finishes_what_it_has(engine: FaultyEngine) -> None:
    with running(engine) as client:
        engine.gate.clear()
        client.score(1, ["a"])
        assert engine.busy.wait(120)
        client.score(2, ["b"])
        client.pipe.send(Stop())
        engine.gate.set()
        assert all(isinstance(answer, Scores) for answer in client.answers(2).values())


def test_the_device_is_marked_busy_while_it_is(engine: FaultyEngine, client: Client) -> None:
    engine.gate.clear()
    client.score(7, ["a"])
    assert engine.busy.wait(120)
    busy = client.pipe.progress()
    engine.gate.set()
    client.answers(1)
    idle = client.pipe.progress()
    assert (busy.started, busy.done, busy.jobs, busy.is_on_device) == (2, 1, (7,), True)  # a step
    assert (idle.started, idle.done, idle.jobs, idle.is_on_device) == (2, 2, (), False)
    assert (idle.tokenized, idle.tokenizing) == ((1, 0), (0, 0))


def test_a_document_that_must_not_be_cut_fails_its_job_before_it_is_scored(
    engine: FaultyEngine,
) -> None:
    documents = ["one two", "one two three", "one", "a b c d"]
    with running(engine) as client:
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


def test_keep_end_reaches_the_tokenizer(engine: FaultyEngine) -> None:
    with running(engine) as client:
        client.score(1, ["a"])
        client.score(2, ["a"], keep_end=True)
        client.answers(2)
    assert engine.tokenizer.kept_ends == [False, True]
