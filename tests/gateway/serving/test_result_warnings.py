"""The warnings of a result, beside its scores."""

from dataclasses import replace
from typing import Any

from gateway.config import CalibrationEntry, ModelSpec
from gateway.domain.request import Document, LongDocuments, RerankRequest, Scored
from gateway.serving.result_warnings import ties, warnings_of
from shards.wire.facts import Facts
from shards.wire.spec import ShardSpec

_SHARD = ShardSpec(name="m/cpu:0", model="m", source="fake")


def _spec(policy: LongDocuments | None = None, *, alone: bool = True) -> ModelSpec:
    return ModelSpec(
        name="m",
        aliases=("old",),
        default=True,
        source="fake",
        shards=(_SHARD,),
        long_documents=policy or LongDocuments(),
        alone=alone,
    )


def _facts(*doubts: str) -> Facts:
    return Facts(
        engine="fake",
        device="cpu",
        dtype="fp32",
        max_length=512,
        token_budget=4096,
        warnings=doubts,
        doubts=doubts,
    )


def _request(texts: str = "ab", **fields: Any) -> RerankRequest:
    return RerankRequest(queries=("q",), documents=tuple(map(Document, texts)), **fields)


def _warnings(
    request: RerankRequest, scored: list[Scored], spec: ModelSpec, facts: Facts | None
) -> tuple[str, ...]:
    return warnings_of(request, scored, spec, facts, ties(request, scored))


def _scored(*margins: float, truncated: int = 0) -> list[Scored]:
    return [Scored(at, margin, 9, at < truncated) for at, margin in enumerate(margins)]


def test_a_plain_reply_has_none() -> None:
    assert _warnings(_request(), _scored(1, 2), _spec(), _facts()) == ()
    assert _warnings(_request(model="m"), _scored(1, 2), _spec(alone=False), None) == ()


def test_the_default_model_is_named_where_there_is_a_choice() -> None:
    (warning,) = _warnings(_request(), _scored(1, 2), _spec(alone=False), _facts())
    assert warning == "no model was named: the default one, 'm', scored"


def test_the_model_of_an_alias_is_named() -> None:
    (warning,) = _warnings(_request(model="old"), _scored(1, 2), _spec(), _facts())
    assert warning == "'old' is an alias here: 'm' scored"


def test_truncated_documents_are_counted_with_the_limit() -> None:
    cut = _scored(1, 2, truncated=1)
    (warning,) = _warnings(_request(), cut, _spec(), _facts())
    assert warning == "1 of 2 documents were truncated (512 tokens a pair)"
    (warning,) = _warnings(_request(max_tokens_per_doc=7), cut, _spec(), _facts())
    assert warning == "1 of 2 documents were truncated (max_tokens_per_doc 7)"


def test_the_limit_of_a_pair_is_named() -> None:
    cut, request = _scored(1, 2, truncated=1), _request(max_tokens_per_pair=9)
    (warning,) = _warnings(request, cut, _spec(), _facts())
    assert warning == "1 of 2 documents were truncated (truncate_prompt_tokens 9)"


def test_a_query_that_may_have_been_cut_is_reported() -> None:
    (warning,) = _warnings(_request(max_tokens_per_query=0), _scored(1), _spec(), _facts()) or ("",)
    assert warning == ""
    short = RerankRequest(queries=("abc",), documents=(Document("a"),), max_tokens_per_query=3)
    assert _warnings(short, _scored(1), _spec(), _facts()) == ()
    long = RerankRequest(queries=("abcd",), documents=(Document("a"),), max_tokens_per_query=3)
    (warning,) = _warnings(long, _scored(1), _spec(), _facts())
    assert warning == "at most 3 tokens of a query were read (max_tokens_per_query)"


def test_passages_that_were_left_out_are_reported() -> None:
    cut, model = _scored(1, 2, truncated=2), LongDocuments(policy="passages", most_passages=3)
    (warning,) = _warnings(_request(), cut, _spec(model), _facts())
    assert warning == "2 of 2 documents were truncated (3 passages)"
    asked = _request(most_passages=5, max_tokens_per_doc=7)
    (warning,) = _warnings(asked, cut, _spec(model), _facts())
    assert warning == "2 of 2 documents were truncated (5 passages and max_tokens_per_doc 7)"


def test_ties_of_different_documents_are_reported() -> None:
    (warning,) = _warnings(_request("abc"), _scored(1, 2, 1), _spec(), _facts())
    assert warning.startswith("2 of 3 documents have the very score of another one")


def test_equal_documents_are_no_ties() -> None:
    assert ties(_request("aab"), _scored(1, 1, 2)) == 0
    assert ties(_request("aaba"), _scored(1, 1, 1, 5)) in {2, 3}
    pairs = RerankRequest(queries=("q", "p"), documents=(Document("a"), Document("a")))
    assert ties(pairs, _scored(1, 1)) == 2


def test_doubts_of_the_shard_are_reported() -> None:
    (warning,) = _warnings(_request(), _scored(1, 2), _spec(), _facts("activation is guessed"))
    assert warning == "model 'm': activation is guessed"


def test_a_calibration_for_other_weights_is_reported() -> None:
    made = CalibrationEntry(
        slope=0.5,
        intercept=0.0,
        made="2026-11-21T12:00:00Z",
        pairs=500,
        relevant=100,
        ece_before=0.2,
        ece_after=0.1,
        weights="old",
    )
    spec = replace(_spec(), calibration=made)
    (warning,) = _warnings(_request(), _scored(1, 2), spec, replace(_facts(), fingerprint="new"))
    assert "calibration of 2026-11-21T12:00:00Z was made for other weights" in warning
    assert not _warnings(_request(), _scored(1, 2), spec, replace(_facts(), fingerprint="old"))


def test_an_instruction_without_a_place_is_reported() -> None:
    request = _request(instruction="find recipes")
    (warning,) = _warnings(request, _scored(1, 2), _spec(), _facts())
    assert warning == "model 'm' has no place for an instruction: it was not used"
    knows = replace(_facts(), uses_instruction=True)
    assert _warnings(request, _scored(1, 2), _spec(), knows) == ()


def test_a_prompt_that_the_client_wrote_already_is_reported() -> None:
    facts = replace(_facts(), markers=("<|im_start|>", "<Document>:"))
    wrapped = RerankRequest(
        queries=("<|im_start|>user\nq",), documents=(Document("a"), Document("<Document>: b"))
    )
    (warning,) = _warnings(wrapped, _scored(1, 2), _spec(), facts)
    assert warning.startswith("query and documents hold pieces of the model's own prompt")
    for query, document in (("q", "<Document>: b"), ("<|im_start|>", "b")):
        one = RerankRequest(queries=(query,), documents=(Document(document),))
        assert _warnings(one, _scored(1), _spec(), facts) == ()
