"""How a request is cut into jobs and put together again."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ModelSpec
from gateway.domain import Document, RerankRequest
from gateway.job import Job
from gateway.metrics import Metrics
from gateway.model import Model
from gateway.policy import FleetPolicy
from gateway.reranker import _merge, _Part, _split
from shards.engines.fake import margin
from shards.wire.messages import MAX_JOB_BYTES, MAX_JOB_DOCUMENTS, Score, Scores, encode
from shards.wire.spec import ShardSpec


def _model() -> Model:
    shard = ShardSpec(name="m/cpu:0", model="m", source="fake", engine="fake")
    spec = ModelSpec(name="m", aliases=(), default=True, source="fake", shards=(shard,))
    return Model(spec, FleetPolicy(), Metrics())


def _request(queries: list[str], texts: list[str]) -> RerankRequest:
    return RerankRequest(queries=tuple(queries), documents=tuple(Document(text) for text in texts))


def _message(job: Job) -> bytes:
    return encode(Score(1, job.deadline_ns, 0, job.instruction, job.queries, job.documents))


def _answer(job: Job) -> Scores:
    """What a shard with the fake engine would say."""
    queries = job.queries if len(job.queries) > 1 else job.queries * len(job.documents)
    margins = tuple(map(margin, queries, job.documents))
    return Scores(1, margins, (1,) * len(margins), (), 0, 0, 0)


_TEXTS = st.lists(st.text(max_size=3000), min_size=1, max_size=60)


@given(_TEXTS, st.booleans())
def test_every_document_is_in_one_job_and_comes_back_in_its_place(
    texts: list[str], is_pairs: bool
) -> None:
    queries = [f"query {index}" for index in range(len(texts))] if is_pairs else ["query"]
    parts = list(_split(_request(queries, texts), _model(), deadline=1.0))
    scored = _merge(parts, [_answer(part.job) for part in parts])
    expected = [margin(queries[index if is_pairs else 0], text) for index, text in enumerate(texts)]
    assert [one.index for one in scored] == list(range(len(texts)))
    assert [one.margin for one in scored] == expected


@given(_TEXTS)
def test_a_job_is_never_larger_than_it_says(texts: list[str]) -> None:
    for part in _split(_request(["query"], texts), _model(), deadline=1.0):
        assert len(_message(part.job)) <= part.job.wire_bytes


def test_documents_of_like_length_share_a_job() -> None:
    texts = ["short", "long " * 4000, "short", "long " * 4000]
    parts = list(_split(_request(["q"], texts), _model(), deadline=1.0))
    assert [sorted(part.indices) for part in parts] == [[0, 2], [1], [3]]


def test_many_documents_make_jobs_that_a_reply_can_answer() -> None:
    parts = list(_split(_request(["q"], [""] * 10_000), _model(), deadline=1.0))
    assert max(len(part.indices) for part in parts) <= MAX_JOB_DOCUMENTS
    assert sum(len(part.indices) for part in parts) == 10_000


def test_the_largest_documents_travel_alone() -> None:
    texts = ["x" * (MAX_JOB_BYTES - 1000)] * 3
    parts = list(_split(_request(["q"], texts), _model(), deadline=1.0))
    assert [len(part.indices) for part in parts] == [1, 1, 1]


def test_a_request_is_small_if_it_fits_one_batch() -> None:
    def is_small(texts: list[str]) -> set[bool]:
        parts: list[_Part] = list(_split(_request(["q"], texts), _model(), deadline=1.0))
        return {part.job.is_small for part in parts}

    assert is_small(["a few words"] * 20) == {True}
    assert is_small(["a few words " * 50] * 100) == {False}


def test_every_job_says_how_documents_are_cut() -> None:
    plain = _request(["q"], ["short", "long " * 4000])
    for keep_end, refuse in ((False, False), (True, False), (False, True)):
        request = replace(plain, keep_end=keep_end, refuse_truncation=refuse)
        parts = list(_split(request, _model(), deadline=1.0))
        assert len(parts) == 2
        found = {(part.job.keep_end, part.job.refuse_truncation) for part in parts}
        assert found == {(keep_end, refuse)}
