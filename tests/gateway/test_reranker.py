"""How a request is cut into jobs and put together again."""

from dataclasses import replace
from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gateway.config import ModelSpec
from gateway.domain import Document, LongDocuments, Policy, RerankRequest
from gateway.job import Job
from gateway.metrics import Metrics
from gateway.model import Model
from gateway.parts import Part, merge, split
from gateway.policy import FleetPolicy
from shards.engines.fake import margin
from shards.wire.messages import MAX_JOB_BYTES, MAX_JOB_DOCUMENTS, Scores, encode
from shards.wire.spec import ShardSpec


def _model() -> Model:
    shard = ShardSpec(name="m/cpu:0", model="m", source="fake", engine="fake")
    spec = ModelSpec(name="m", aliases=(), default=True, source="fake", shards=(shard,))
    return Model(spec, FleetPolicy(), Metrics())


def _request(queries: list[str], texts: list[str]) -> RerankRequest:
    return RerankRequest(queries=tuple(queries), documents=tuple(Document(text) for text in texts))


def _message(job: Job) -> bytes:
    return encode(job.message(1))


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
    parts = list(split(_request(queries, texts), _model(), deadline=1.0))
    scored = merge(parts, [_answer(part.job) for part in parts])
    expected = [margin(queries[index if is_pairs else 0], text) for index, text in enumerate(texts)]
    assert [one.index for one in scored] == list(range(len(texts)))
    assert [one.margin for one in scored] == expected


@given(_TEXTS)
def test_a_job_is_never_larger_than_it_says(texts: list[str]) -> None:
    for part in split(_request(["query"], texts), _model(), deadline=1.0):
        assert len(_message(part.job)) <= part.job.wire_bytes


def test_documents_of_like_length_share_a_job() -> None:
    texts = ["short", "long " * 4000, "short", "long " * 4000]
    parts = list(split(_request(["q"], texts), _model(), deadline=1.0))
    assert [sorted(part.indices) for part in parts] == [[0, 2], [1], [3]]


def test_many_documents_make_jobs_that_a_reply_can_answer() -> None:
    parts = list(split(_request(["q"], [""] * 10_000), _model(), deadline=1.0))
    assert max(len(part.indices) for part in parts) <= MAX_JOB_DOCUMENTS
    assert sum(len(part.indices) for part in parts) == 10_000


def test_the_largest_documents_travel_alone() -> None:
    texts = ["x" * (MAX_JOB_BYTES - 1000)] * 3
    parts = list(split(_request(["q"], texts), _model(), deadline=1.0))
    assert [len(part.indices) for part in parts] == [1, 1, 1]


def test_a_request_is_small_if_it_fits_one_batch() -> None:
    def is_small(texts: list[str]) -> set[bool]:
        parts: list[Part] = list(split(_request(["q"], texts), _model(), deadline=1.0))
        return {part.job.is_small for part in parts}

    assert is_small(["a few words"] * 20) == {True}
    assert is_small(["a few words " * 50] * 100) == {False}


def _sharing() -> Model:
    model = _model()
    model.estimate.shared_tokens, model.estimate.prompt_tokens = 60, 10
    return model


def test_a_query_that_documents_share_does_not_make_jobs_small() -> None:
    query, text = "q" * 10_000, "document " * 50  # some 3,000 tokens, and 135
    apart = list(split(_request([query], [text] * 40), _model(), deadline=1.0))
    together = list(split(_request([query], [text] * 40), _sharing(), deadline=1.0))
    assert len(apart) == 40
    assert [len(part.indices) for part in together] == [28, 12]
    assert [part.job.tokens for part in together] == [3000 + 28 * 145, 12 * 145]
    assert not any(part.job.is_small for part in together)


def test_each_pair_pays_for_a_query_of_its_own() -> None:
    queries, texts = ["q" * 1000] * 3, ["document " * 50] * 3
    (part,) = split(_request(queries, texts), _sharing(), deadline=1.0)
    assert part.job.tokens == 3 * (10 + 300 + 135)


def test_passages_do_not_pay_for_a_query_that_they_share() -> None:
    request = structs.replace(_request(["q" * 1000], ["x" * 4000]), long_documents="passages")
    model = _sharing()
    model.estimate.max_length = 870  # 500 are left for passages
    (part,) = split(request, model, deadline=1.0)
    passages = 3
    assert part.job.tokens == 300 + passages * (10 + 500)


def test_every_job_says_how_documents_are_cut() -> None:
    plain = _request(["q"], ["short", "long " * 4000])
    policies: tuple[Policy, ...] = ("truncate", "passages", "error")
    for keep_end, policy in product((False, True), policies):
        request = structs.replace(plain, keep_end=keep_end, long_documents=policy, most_passages=7)
        parts = list(split(request, _model(), deadline=1.0))
        assert len(parts) == 2
        for message in (part.job.message(1) for part in parts):
            assert message.keep_end is keep_end
            assert message.refuse_truncation is (policy == "error")
            assert message.in_passages is (policy == "passages")
            assert message.most_passages == 7


def test_the_spans_of_passages_come_back_in_their_places() -> None:
    texts = ["long " * 4000, "short", "long " * 4001]
    request = structs.replace(_request(["q"], texts), long_documents="passages")
    parts = list(split(request, _model(), deadline=1.0))
    answers = [
        replace(
            _answer(part.job),
            passages=tuple(len(text) // 1000 + 1 for text in part.job.documents),
            starts=tuple(len(text) - 3 for text in part.job.documents),
            ends=tuple(map(len, part.job.documents)),
        )
        for part in parts
    ]
    scored = merge(parts, answers)
    assert [one.span for one in scored] == [(len(text) - 3, len(text)) for text in texts]
    assert [one.passages for one in scored] == [21, 1, 21]


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
