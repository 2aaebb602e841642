"""A job is answered once, when its last pair is scored."""

import math
from typing import Any

import pytest

from shards.cost import Work, padded_work
from shards.pairs import Prefix, TokenizedPair
from shards.wire.messages import Score, Scores
from shards.worker.batcher import WaitingPair
from shards.worker.documents import TokenizedDocument
from shards.worker.open_jobs import OpenJob, OpenJobs


def _opened(job_id: int, deadline_ns: int = 10_000, **settings: Any) -> OpenJob:
    score = Score(job_id, deadline_ns, 0, "", ("q",), ("d",), **settings)
    return OpenJob(score, accepted_ns=100)


def _job(job_id: int, lengths: list[int], deadline_ns: int = 10_000) -> OpenJob:
    job = _opened(job_id, deadline_ns)
    job.set_documents([_document([length], truncated=length > 5) for length in lengths])
    return job


def _document(lengths: list[int], *, truncated: bool = False) -> TokenizedDocument:
    pairs = [TokenizedPair([0] * length, length, truncated=False) for length in lengths]
    return TokenizedDocument(
        pairs, [(10 * at, 10 * at + 12) for at in range(len(pairs))], truncated
    )


def _open(*jobs: OpenJob) -> OpenJobs:
    table = OpenJobs()
    for job in jobs:
        table.open(job)
    return table


def _pairs(job: OpenJob) -> list[WaitingPair]:
    return job.next_portion(1_000_000)


def _scored(
    table: OpenJobs,
    batch: list[WaitingPair],
    margins: list[float],
    *,
    started_ns: int,
    done_ns: int,
) -> list[Scores]:
    work = padded_work([waiting.pair for waiting in batch])
    return table.batch_scored(batch, margins, started_ns, done_ns, work)


def test_a_job_is_answered_when_its_last_pair_is_scored() -> None:
    job = _job(1, [2, 8, 3])
    job.tokenize_ns = 7
    table = _open(job)
    first, second, third = _pairs(job)
    assert _scored(table, [second], [0.5], started_ns=150, done_ns=160) == []
    (reply,) = _scored(table, [third, first], [0.3, 0.1], started_ns=170, done_ns=200)
    assert reply.margins == (0.1, 0.5, 0.3)
    assert reply.tokens == (2, 8, 3)
    assert reply.truncated == (1,)
    assert reply.queue_ns == 50
    assert reply.compute_ns == 40
    assert reply.tokenize_ns == 7
    assert reply.computed_tokens == 8 + 3 + 3
    assert 1 not in table


def test_jobs_share_a_batch_and_its_cost() -> None:
    first, second = _job(1, [4]), _job(2, [4, 4, 4])
    table = _open(first, second)
    replies = _scored(
        table, [*_pairs(first), *_pairs(second)], [1.0, 2.0, 3.0, 4.0], started_ns=200, done_ns=240
    )
    assert [reply.job for reply in replies] == [1, 2]
    assert [reply.compute_ns for reply in replies] == [10, 30]


def test_a_closed_job_is_not_answered_again() -> None:
    job = _job(1, [4])
    table = _open(job)
    assert table.close(1)
    assert not table.close(1)
    assert _scored(table, _pairs(job), [math.nan], started_ns=1, done_ns=2) == []


def test_jobs_are_overdue_at_their_deadline() -> None:
    table = _open(_job(1, [4], deadline_ns=50), _job(2, [4], deadline_ns=60))
    assert table.overdue(49) == []
    assert table.overdue(50) == [1]
    assert table.overdue(99) == [1, 2]


def _score_all(table: OpenJobs, job: OpenJob, margins: list[float]) -> Scores:
    (reply,) = _scored(table, _pairs(job), margins, started_ns=100, done_ns=110)
    return reply


def _long_job(pool_best: int) -> OpenJob:
    job = _opened(1, pool_best=pool_best, in_passages=True)
    job.set_documents([_document([7]), _document([8, 8, 4], truncated=True), _document([5])])
    return job


@pytest.mark.parametrize(("pool_best", "pooled"), [(1, 3.0), (2, 2.0), (3, 1.0), (0, 1.0)])
def test_the_margins_of_passages_become_that_of_their_document(
    pool_best: int, pooled: float
) -> None:
    job = _long_job(pool_best)
    reply = _score_all(_open(job), job, [0.5, 1.0, -1.0, 3.0, -0.5])
    assert reply.margins == (0.5, pooled, -0.5)
    assert reply.tokens == (7, 20, 5)
    assert reply.passages == (1, 3, 1)
    assert (reply.starts, reply.ends) == ((0, 20, 0), (12, 32, 12))
    assert reply.truncated == (1,)


def test_pairs_carry_the_index_of_their_document() -> None:
    assert [(waiting.index, waiting.document) for waiting in _pairs(_long_job(1))] == list(
        enumerate((0, 1, 1, 1, 2))
    )


def test_a_large_job_is_handed_out_in_portions() -> None:
    job, other = _long_job(1), _job(2, [4])
    table = _open(job, other)
    first = job.next_portion(10)
    assert [waiting.index for waiting in first] == [0, 1]
    assert table.next_portions({1}, 10, {}) == []
    assert _scored(table, first[:1], [1.0], started_ns=1, done_ns=2) == []
    assert table.next_portions({1}, 10, {}) == []
    assert _scored(table, first[1:], [1.0], started_ns=2, done_ns=3) == []
    second = table.next_portions({1}, 10, {})
    assert [waiting.index for waiting in second] == [2, 3]
    _scored(table, second, [1.0, 1.0], started_ns=3, done_ns=4)
    third = table.next_portions({1, 2}, 10, {})
    assert [waiting.index for waiting in third] == [4, 0]
    replies = _scored(table, third, [1.0, 1.0], started_ns=4, done_ns=5)
    assert {reply.job for reply in replies} == {1, 2}
    assert table.next_portions({1, 2}, 10, {}) == []


def test_a_portion_does_not_wait_for_pairs_on_the_device() -> None:
    job = _long_job(1)
    table = _open(job)
    first = job.next_portion(10)
    _scored(table, first[:1], [1.0], started_ns=1, done_ns=2)
    assert table.next_portions({1}, 10, {}) == []  # the other pair still waits
    assert [waiting.index for waiting in table.next_portions({1}, 10, {1: 1})] == [2, 3]


def test_tokens_and_time_go_to_the_jobs_that_they_were_spent_on() -> None:
    first, second = _job(1, [10, 10]), _job(2, [30])
    table = _open(first, second)
    batch = [*_pairs(first), *_pairs(second)]
    work = Work(computed=[10, 2, 28], saved=[0, 8, 2])
    replies = table.batch_scored(batch, [1.0, 2.0, 3.0], started_ns=0, done_ns=400, work=work)
    assert [reply.computed_tokens for reply in replies] == [12, 28]
    assert [reply.saved_tokens for reply in replies] == [8, 2]
    assert [reply.compute_ns for reply in replies] == [120, 280]


def test_a_prefix_is_awaited_until_the_last_pair_that_has_it_is_scored() -> None:
    first, second = Prefix((1,), (1,)), Prefix((2,), (1,))
    pairs = [TokenizedPair([0, 0], 2, False, prefix) for prefix in (first, None, second, first)]
    job = _opened(1)
    job.set_documents([TokenizedDocument([pair], [(0, 1)], truncated=False) for pair in pairs])
    table = _open(job)
    handed_out = job.next_portion(4)
    assert len(handed_out) < len(pairs)  # pairs that are not handed out yet are awaited as well
    assert set(table.awaited()) == {first, second}
    handed_out += job.next_portion(1000)
    for awaited, waiting in zip(
        ({first, second}, {first, second}, {first}, set()), handed_out, strict=True
    ):
        _scored(table, [waiting], [0.0], started_ns=1, done_ns=2)
        assert set(table.awaited()) == awaited


def test_the_prefixes_of_closed_or_cancelled_jobs_are_not_awaited() -> None:
    prefix = Prefix((1,), (1,))
    jobs = [_opened(job) for job in (1, 2, 3)]
    for job in jobs:
        pair = TokenizedPair([0, 0], 2, False, prefix)
        job.set_documents([TokenizedDocument([pair], [(0, 1)], False)])
    table = _open(*jobs)
    table.close(1)
    assert set(table.awaited()) == {prefix}
    table.cancel(2)
    assert set(table.awaited()) == {prefix}
    table.close(3)
    assert set(table.awaited()) == set()
