"""The times of a request's jobs."""

import pytest

from gateway.domain.timeline import MOST_JOBS, JobTimes, Span, Timeline, job_times, spans
from shards.wire.messages import Scores

SCORES = Scores(
    job=1, margins=(1.0, 2.0), tokens=(10, 20), truncated=(), computed_tokens=40,
    queue_ns=3_000_000_000, compute_ns=2_000_000_000, tokenize_ns=1_000_000_000,
)  # fmt: skip


def times(**changed: float) -> JobTimes:
    found = {"joined": 100.0, "sent": 101.0, "answered": 110.0} | changed
    return job_times("m/cpu:0", found["joined"], found["sent"], found["answered"], SCORES)


def test_waiting_is_separate_from_work() -> None:
    job = times()
    assert (job.documents, job.tokens) == (2, 30)
    assert job.waited_seconds == pytest.approx(
        1 + 3 - 1
    )  # in the queue, in the shard, without tokenization
    assert job.compute_seconds == 2


def test_the_spans_of_a_job_follow_each_other() -> None:
    assert spans(times()) == (
        Span("queue", 100.0, 101.0),
        Span("tokenise", 101.0, 102.0),
        Span("wait", 102.0, 104.0),
        Span("compute", 104.0, 106.0),
    )


def test_no_span_ends_after_the_answer_or_before_its_start() -> None:
    for answered in (100.0, 104.5, 105.0):
        found = spans(times(answered=answered))
        assert all(span.end >= span.start for span in found)
        assert found[-1].end <= max(answered, found[-1].start)


def test_a_request_waits_as_long_as_its_slowest_job_and_computes_all() -> None:
    timeline = Timeline()
    for joined in (100.0, 98.0):
        timeline.note(times(joined=joined))
    assert timeline.longest_wait_seconds == pytest.approx(5)
    assert timeline.compute_seconds == 4


def test_a_large_request_keeps_some_jobs_and_counts_all() -> None:
    timeline = Timeline()
    for _ in range(MOST_JOBS + 5):
        timeline.note(times())
    assert len(timeline.jobs) == MOST_JOBS
    assert timeline.answered == MOST_JOBS + 5
    assert timeline.compute_seconds == 2 * (MOST_JOBS + 5)
