"""A request cut into jobs, and their answers put together again."""

from dataclasses import replace
from itertools import chain, pairwise, product

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.domain.job import Job
from gateway.domain.request import (
    UNCALIBRATED,
    Document,
    LongDocuments,
    Policy,
    RerankRequest,
    Scored,
)
from gateway.scheduling.token_estimate import Capacity, TokenEstimate
from gateway.serving.scatter_gather import gather, rank, scatter
from shards.engines.fake import margin
from shards.wire.messages import MAX_JOB_BYTES, MAX_JOB_DOCUMENTS, Scores, encode


def _capacity(**estimate: int) -> Capacity:
    return Capacity(
        estimate=TokenEstimate(**estimate),
        replicas=0,  # none is ready yet
        token_budget=4096,
        long_documents=LongDocuments(),
    )


def _request(queries: list[str], texts: list[str]) -> RerankRequest:
    return RerankRequest(queries=tuple(queries), documents=tuple(Document(text) for text in texts))


def _scatter(request: RerankRequest, **estimate: int) -> list[Job]:
    return scatter(request, _capacity(**estimate), deadline=1.0)


def _answer(job: Job) -> Scores:
    """Return the answer of a shard with the fake engine."""
    margins = tuple(margin(query, document) for query, document in job.pairs)
    return Scores(1, margins, (1,) * len(margins), (), 0, 0, 0)


def _gather(jobs: list[Job], answers: list[Scores]) -> tuple[Scored, ...]:
    return gather(jobs, answers, UNCALIBRATED)


_TEXTS = st.lists(st.text(max_size=3000), min_size=1, max_size=60)


@given(_TEXTS, st.booleans())
def test_every_document_is_in_one_job_and_comes_back_in_its_place(
    texts: list[str], is_pairs: bool
) -> None:
    queries = [f"query {index}" for index in range(len(texts))] if is_pairs else ["query"]
    jobs = _scatter(_request(queries, texts))
    scored = _gather(jobs, [_answer(job) for job in jobs])
    expected = [margin(queries[index if is_pairs else 0], text) for index, text in enumerate(texts)]
    assert [document.index for document in scored] == list(range(len(texts)))
    assert [document.margin for document in scored] == expected


@given(_TEXTS)
def test_a_job_never_exceeds_its_wire_bytes(texts: list[str]) -> None:
    for job in _scatter(_request(["query"], texts)):
        assert len(encode(job.payload)) <= job.wire_bytes


@given(_TEXTS)
def test_every_pair_keeps_its_own_instruction(texts: list[str]) -> None:
    own = ["" if index % 3 else f"find {text}" for index, text in enumerate(texts)]
    request = structs.replace(
        _request(["query"] * len(texts), texts), instruction="any", instructions=tuple(own)
    )
    jobs = _scatter(request)
    for job in (*jobs, *chain.from_iterable(whole.one_by_one() for whole in jobs)):
        found = zip(job.payload.instructions, job.payload.documents, strict=True)
        assert all(instruction in {"any", f"find {text}"} for instruction, text in found)
        assert len(encode(job.payload)) <= job.wire_bytes
    given = dict(
        chain.from_iterable(zip(job.indices, job.payload.instructions, strict=True) for job in jobs)
    )
    assert [given[at] for at in range(len(texts))] == [text or "any" for text in own]


def test_documents_of_like_length_share_a_job() -> None:
    texts = ["short", "long " * 4000, "short", "long " * 4000]
    jobs = _scatter(_request(["q"], texts))
    assert [sorted(job.indices) for job in jobs] == [[0, 2], [1], [3]]


def test_many_documents_make_jobs_that_a_reply_can_answer() -> None:
    jobs = _scatter(_request(["q"], [""] * 10_000))
    assert max(len(job.indices) for job in jobs) <= MAX_JOB_DOCUMENTS
    assert sum(len(job.indices) for job in jobs) == 10_000


def test_the_largest_documents_travel_alone() -> None:
    texts = ["x" * (MAX_JOB_BYTES - 1000)] * 3
    jobs = _scatter(_request(["q"], texts))
    assert [len(job.indices) for job in jobs] == [1, 1, 1]


def test_a_request_is_small_if_it_fits_one_batch() -> None:
    def is_small(texts: list[str]) -> set[bool]:
        return {job.is_small for job in _scatter(_request(["q"], texts))}

    assert is_small(["a few words"] * 20) == {True}
    assert is_small(["a few words " * 50] * 100) == {False}


_SHARING = {"shared_tokens": 60, "prompt_tokens": 10}


def test_a_query_that_documents_share_does_not_make_jobs_small() -> None:
    query, text = "q" * 10_000, "document " * 50  # some 3,000 tokens, and 135
    apart = _scatter(_request([query], [text] * 40))
    together = _scatter(_request([query], [text] * 40), **_SHARING)
    assert len(apart) == 40
    assert [len(job.indices) for job in together] == [28, 12]
    assert [job.tokens for job in together] == [3000 + 28 * 145, 12 * 145]
    assert not any(job.is_small for job in together)


def test_each_pair_pays_for_a_query_of_its_own() -> None:
    queries, texts = ["q" * 1000] * 3, ["document " * 50] * 3
    (job,) = _scatter(_request(queries, texts), **_SHARING)
    assert job.tokens == 3 * (10 + 300 + 135)


def test_passages_do_not_pay_for_a_query_that_they_share() -> None:
    request = structs.replace(_request(["q" * 1000], ["x" * 4000]), long_documents="passages")
    (job,) = _scatter(request, **_SHARING, max_length=870)  # 500 are left for passages
    passages = 3
    assert job.tokens == 300 + passages * (10 + 500)


def test_every_job_has_the_policy_for_long_documents() -> None:
    plain = _request(["q"], ["short", "long " * 4000])
    policies: tuple[Policy, ...] = ("truncate", "passages", "error")
    for keep_end, policy in product((False, True), policies):
        request = structs.replace(plain, keep_end=keep_end, long_documents=policy, most_passages=7)
        jobs = _scatter(request)
        assert len(jobs) == 2
        for message in (job.payload for job in jobs):
            assert message.keep_end is keep_end
            assert message.refuse_truncation is (policy == "error")
            assert message.in_passages is (policy == "passages")
            assert message.most_passages == 7


def test_the_spans_of_passages_come_back_in_their_places() -> None:
    texts = ["long " * 4000, "short", "long " * 4001]
    request = structs.replace(_request(["q"], texts), long_documents="passages")
    jobs = _scatter(request)
    answers = [
        replace(
            _answer(job),
            passages=tuple(len(text) // 1000 + 1 for text in job.payload.documents),
            starts=tuple(len(text) - 3 for text in job.payload.documents),
            ends=tuple(map(len, job.payload.documents)),
        )
        for job in jobs
    ]
    scored = _gather(jobs, answers)
    assert [document.span for document in scored] == [(len(text) - 3, len(text)) for text in texts]
    assert [document.passages for document in scored] == [21, 1, 21]


def test_the_models_policy_counts_where_the_request_has_none() -> None:
    model = LongDocuments(policy="error", most_passages=9, passage_tokens=50)
    plain = _request(["q"], ["a"])
    assert plain.reading(model) == model
    assert structs.replace(plain, may_cut=True).reading(model).policy == "truncate"
    assert (
        structs.replace(plain, may_cut=True, long_documents="error").reading(model).policy
        == "error"
    )
    passages = structs.replace(plain, long_documents="passages", may_cut=True)
    assert passages.reading(model) == replace(model, policy="passages")
    assert structs.replace(passages, most_passages=2).reading(model).most_passages == 2
    by_default = LongDocuments(policy="passages")
    assert structs.replace(plain, may_cut=True).reading(by_default).policy == "passages"


_MARGINS = st.floats(allow_nan=False, width=32)


def _scored(*margins: float) -> tuple[Scored, ...]:
    return tuple(Scored(at, margin, 2, truncated=False) for at, margin in enumerate(margins))


def test_margins_decide_where_scores_are_equal() -> None:
    ranked = rank(_scored(50.0, 60.0, 55.0), None)
    assert [document.index for document in ranked] == [1, 2, 0]
    assert len({document.relevance_score for document in ranked}) == 1


def test_ties_by_index() -> None:
    assert [document.index for document in rank(_scored(1.0, 2.0, 1.0, 2.0), None)] == [1, 3, 0, 2]


@given(st.lists(_MARGINS, max_size=20), st.none() | st.integers(1, 30))
def test_rank(values: list[float], top_n: int | None) -> None:
    ranked = rank(_scored(*values), top_n)
    assert len(ranked) == min(len(values), top_n or len(values))
    everything = rank(_scored(*values), None)
    assert ranked == everything[: len(ranked)]
    assert sorted(document.index for document in everything) == list(range(len(values)))
    for better, worse in pairwise(everything):
        assert (-better.margin, better.index) < (-worse.margin, worse.index)
