"""A job is answered once, when its last pair is scored."""

import math

from shards.batcher import WaitingPair
from shards.jobs import Job, OpenJobs
from shards.pairs import EncodedPair


def _job(job_id: int, lengths: list[int], deadline_ns: int = 10_000) -> Job:
    pairs = [EncodedPair([0] * length, length, truncated=length > 5) for length in lengths]
    return Job(job_id, deadline_ns, accepted_ns=100, pairs=pairs)


def _open(*jobs: Job) -> OpenJobs:
    table = OpenJobs()
    for job in jobs:
        table.open(job)
    return table


def _pairs(job: Job) -> list[WaitingPair]:
    return list(job.waiting_pairs())


def test_a_job_is_answered_when_its_last_pair_is_scored() -> None:
    job = _job(1, [2, 8, 3])
    table = _open(job)
    first, second, third = _pairs(job)
    assert table.batch_scored([second], [0.5], started_ns=150, done_ns=160) == []
    (reply,) = table.batch_scored([third, first], [0.3, 0.1], started_ns=170, done_ns=200)
    assert reply.margins == (0.1, 0.5, 0.3)
    assert reply.tokens == (2, 8, 3)
    assert reply.truncated == (1,)
    assert reply.queue_ns == 50
    assert reply.compute_ns == 40
    assert reply.computed_tokens == 8 + 3 + 3
    assert 1 not in table


def test_jobs_share_a_batch_and_its_cost() -> None:
    one, two = _job(1, [4]), _job(2, [4, 4, 4])
    table = _open(one, two)
    replies = table.batch_scored(
        [*_pairs(one), *_pairs(two)], [1.0, 2.0, 3.0, 4.0], started_ns=200, done_ns=240
    )
    assert [reply.job for reply in replies] == [1, 2]
    assert [reply.compute_ns for reply in replies] == [10, 30]


def test_a_closed_job_is_not_answered_again() -> None:
    job = _job(1, [4])
    table = _open(job)
    assert table.close(1)
    assert not table.close(1)
    assert table.batch_scored(_pairs(job), [math.nan], started_ns=1, done_ns=2) == []


def test_jobs_are_overdue_at_their_deadline() -> None:
    table = _open(_job(1, [4], deadline_ns=50), _job(2, [4], deadline_ns=60))
    assert table.overdue(49) == []
    assert table.overdue(50) == [1]
    assert table.overdue(99) == [1, 2]
